"""From incidents to answers, with a bundle in between."""

from __future__ import annotations

from collections.abc import Sequence

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
        return [
            _prediction(*row)
            for row in zip(
                probabilities.tolist(), probabilities.argmax(axis=1).tolist(), inside.tolist(),
                columns.level.tolist(), strict=True,
            )
        ]  # fmt: skip


def _prediction(row: list[float], best: int, inside: list[bool], level: int) -> Prediction:
    # Most probable first, and of equals the one that comes first in the table.
    members = sorted(
        (place for place, member in enumerate(inside) if member), key=lambda place: -row[place]
    )
    return Prediction(
        CATEGORIES[best], row[best], dict(zip(CATEGORIES, row, strict=True)),
        tuple([CATEGORIES[place] for place in members]), InformationLevel(level),
    )  # fmt: skip
