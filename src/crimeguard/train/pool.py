"""A log-linear pool of the members, level by level (Genest and Zidek 1986).

The pooled log-probabilities are a weighted mean of the members' own. The weights are
fitted by log-loss on incidents that no member has seen. They sum to one: left free,
their sum is a temperature (Guo et al. 2017), but it then also corrects for the fewer
days that the members had seen while it was fitted, and the members that serve have
seen all (docs/decisions/0003-model.md has the figures).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crimeguard.domain.level import InformationLevel
from crimeguard.features.columns import Floats, Ints


def log_softmax(scores: Floats) -> Floats:
    """Return log-probabilities along the last axis."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    normed: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normed


@dataclass(frozen=True, slots=True)
class Pool:
    """`weights` has shape (3 levels, members)."""

    weights: Floats

    def probabilities(self, scores: Sequence[Floats], levels: Ints) -> Floats:
        """Blend the members' scores, each of shape (n, 15), into probabilities (n, 15)."""
        weights = self.weights[levels]
        pooled = sum(
            weights[:, place, None] * log_softmax(mine) for place, mine in enumerate(scores)
        )
        return np.exp(log_softmax(np.asarray(pooled)))

    def to_json(self) -> dict[str, Any]:
        """Return the weights by level."""
        return {level.label: self.weights[level].tolist() for level in InformationLevel}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Pool:
        """Read what `to_json` wrote."""
        return cls(np.array([data[level.label] for level in InformationLevel], np.float64))


def fit_pool(scores: Sequence[Floats], levels: Ints, target: Ints) -> Pool:
    """Fit each level's weights by log-loss on incidents unseen by the members."""
    members = np.stack([log_softmax(mine) for mine in scores])
    weights = np.full((len(InformationLevel), len(scores)), 1 / len(scores))
    for level in InformationLevel:
        rows = levels == int(level)
        if rows.any():
            weights[level] = _best_weights(members[:, rows], target[rows])
    return Pool(weights)


def _best_weights(members: Floats, target: Ints) -> Floats:
    """Find non-negative weights of sum one; `members` has shape (members, n, 15)."""
    from scipy.optimize import minimize

    every = np.arange(len(target))

    def loss(weights: Floats) -> float:
        pooled = np.tensordot(weights / weights.sum(), members, 1)
        return float(-log_softmax(pooled)[every, target].mean())

    start = np.full(len(members), 1 / len(members))
    found = minimize(loss, start, method="L-BFGS-B", bounds=[(1e-6, 1)] * len(members))
    weights: Floats = found.x / found.x.sum()
    return weights
