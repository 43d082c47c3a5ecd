"""From incidents to answers, with a bundle in between."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.incident import Incident
from crimeguard.domain.level import InformationLevel
from crimeguard.domain.prediction import Prediction
from crimeguard.features.columns import Columns, Floats
from crimeguard.registry.bundle import Bundle


class Predictor:
    """Answers from one verified bundle; safe to call from several threads."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def predict(self, incidents: Sequence[Incident]) -> list[Prediction]:
        """Predict each incident at its own information level, in order."""
        if not incidents:
            return []
        return self.answers(Columns.from_incidents(incidents))

    def predict_columns(self, columns: Columns) -> Floats:
        """Return probabilities of shape (n, 15), in the order of CATEGORIES."""
        return self.bundle.model.probabilities(columns)

    def answers(self, columns: Columns) -> list[Prediction]:
        """Predict incidents that are already laid out as arrays."""
        model = self.bundle.model
        probabilities = model.probabilities(columns)
        inside = model.prediction_sets(probabilities, columns)
        ranked = np.argsort(-probabilities, axis=1, kind="stable")
        return [
            Prediction(
                category=CATEGORIES[order[0]],
                confidence=float(row[order[0]]),
                probabilities=dict(zip(CATEGORIES, row.tolist(), strict=True)),
                prediction_set=tuple(CATEGORIES[place] for place in order if member[place]),
                level=InformationLevel(int(level)),
            )
            for row, order, member, level in zip(
                probabilities, ranked, inside, columns.level, strict=True
            )
        ]
