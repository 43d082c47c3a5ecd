"""The same bundle behind BentoML: a service, as its documentation has them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import bentoml  # type: ignore[import-not-found]

from crimeguard.domain.incident import Incident
from crimeguard.registry.bundle import Bundle
from crimeguard.serve.predictor import Predictor


@bentoml.service  # type: ignore[untyped-decorator, unused-ignore]
class Service:
    """Answers one incident."""

    def __init__(self) -> None:
        self._predictor = Predictor(Bundle.load(Path(os.environ["BENCH_BUNDLE"])))

    @bentoml.api  # type: ignore[untyped-decorator, unused-ignore]
    def predict(self, record: dict[str, Any]) -> dict[str, Any]:
        """Predict one incident."""
        (found,) = self._predictor.predict([Incident.from_record(record)])
        return {
            "prediction": found.category,
            "confidence": found.confidence,
            "probabilities": dict(found.probabilities),
            "prediction_set": list(found.prediction_set),
            "information_level": found.level.label,
        }
