"""Where the predictor in service stands; swapped while requests are in flight."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from crimeguard.domain.incident import Incident
from crimeguard.domain.prediction import Prediction
from crimeguard.features.columns import Columns, Floats
from crimeguard.serve.problem import NO_MODEL, Problem


class DrawsSets(Protocol):
    """The part of a model that turns probabilities into prediction sets."""

    def prediction_sets(self, probabilities: Floats, columns: Columns) -> NDArray[np.bool_]:
        """Return membership in the conformal set, shape (n, 15)."""


class Served(Protocol):
    """What the API tells of a bundle."""

    @property
    def name(self) -> str:
        """The registered model's name."""

    @property
    def version(self) -> str:
        """The bundle's own version."""

    @property
    def sha256(self) -> str:
        """The digest of the bundle's manifest."""

    @property
    def card(self) -> Mapping[str, Any]:
        """The model card."""

    @property
    def path(self) -> Path:
        """The folder that it was loaded from."""

    @property
    def model(self) -> DrawsSets:
        """The fitted model."""


class Predicts(Protocol):
    """What the API asks of a predictor; safe to call from several threads."""

    @property
    def bundle(self) -> Served:
        """The verified bundle behind the predictions."""

    def predict(self, incidents: Sequence[Incident]) -> list[Prediction]:
        """Predict incidents one by one."""

    def predict_columns(self, columns: Columns) -> Floats:
        """Return probabilities, shape (n, 15)."""


class Slot:
    """Holds one predictor, or none yet.

    A request takes the predictor once and keeps it to its end, so a swap never changes
    the bundle under a request. Assignment is atomic; no lock stands in a request's way.
    """

    def __init__(self, predictor: Predicts | None = None) -> None:
        self._predictor = predictor
        self._since = None if predictor is None else time.time()

    @property
    def current(self) -> Predicts | None:
        """The predictor in service."""
        return self._predictor

    @property
    def since(self) -> float | None:
        """When it was put into service, in seconds since 1970."""
        return self._since

    def require(self) -> Predicts:
        """Return the predictor in service; Problem (503) if there is none yet."""
        predictor = self._predictor
        if predictor is None:
            raise Problem(NO_MODEL, "No verified model is loaded yet; ask again in a moment.",
                          headers={"Retry-After": "5"})  # fmt: skip
        return predictor

    def swap(self, predictor: Predicts) -> None:
        """Put another predictor into service."""
        self._since = time.time()
        self._predictor = predictor


def model_info(bundle: Served) -> dict[str, str]:
    """Say which bundle an answer comes from."""
    return {"name": bundle.name, "version": str(bundle.version), "sha256": bundle.sha256}
