"""What the service says of one incident."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crimeguard.domain.level import InformationLevel


@dataclass(frozen=True, slots=True)
class Prediction:
    """The most probable category, and how sure the model may be of it.

    `probabilities` holds all 15 categories in the order of CATEGORIES and sums to 1;
    `prediction_set` is the conformal set, most probable first: it holds the true category
    in at least the share of cases that the bundle's manifest states.
    """

    category: str
    confidence: float
    probabilities: Mapping[str, float]
    prediction_set: tuple[str, ...]
    level: InformationLevel
