"""Prediction sets that hold the true category in a stated share of cases.

Split conformal prediction with the least ambiguous sets (Sadinle, Lei and Wasserman
2019): a category belongs to the set if its probability reaches a threshold, which is
the quantile of the true category's probability on incidents that no member has seen.
One threshold a level. The promise holds as long as new incidents are like those.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crimeguard.domain.level import InformationLevel
from crimeguard.features.columns import Floats, Ints


@dataclass(frozen=True, slots=True)
class Conformal:
    """`thresholds` has shape (3,): the least probability of a member, by level."""

    coverage: float
    thresholds: Floats

    def sets(self, probabilities: Floats, levels: Ints) -> NDArray[np.bool_]:
        """Return membership of shape (n, 15); the most probable category always belongs."""
        inside: NDArray[np.bool_] = probabilities >= self.thresholds[levels][:, None]
        inside[np.arange(len(inside)), probabilities.argmax(axis=1)] = True
        return inside

    def to_json(self) -> dict[str, Any]:
        """Return coverage and thresholds."""
        return {"coverage": self.coverage, "thresholds": self.thresholds.tolist()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Conformal:
        """Read what `to_json` wrote."""
        return cls(float(data["coverage"]), np.array(data["thresholds"], np.float64))


def fit_conformal(probabilities: Floats, levels: Ints, target: Ints, coverage: float) -> Conformal:
    """Find each level's threshold on incidents unseen by the members."""
    thresholds = np.zeros(len(InformationLevel))
    for level in InformationLevel:
        rows = np.flatnonzero(levels == int(level))
        true = np.sort(probabilities[rows, target[rows]])
        # The finite-sample rank; with too few incidents the set is everything.
        rank = int(np.floor((1 - coverage) * (len(rows) + 1))) - 1
        thresholds[level] = true[rank] if rank >= 0 else 0.0
    return Conformal(coverage, thresholds)
