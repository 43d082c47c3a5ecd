"""A log-linear pool of the members, level by level (Genest and Zidek 1986).

The pooled log-probabilities are a weighted mean of the members' own. The weights are
fitted by log-loss on incidents that no member has seen. They sum to one: left free,
their sum is a temperature (Guo et al. 2017), but it then also corrects for the fewer
days that the members had seen while it was fitted, and the members that serve have
seen all (docs/decisions/0003-model.md has the figures).

Where the mix of categories is known to have changed, the pool also moves every answer from
the mix of the training days to the new one (Saerens, Latinne and Decaestecker 2002).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.level import InformationLevel
from crimeguard.features.columns import Floats, Ints


def log_softmax(scores: Floats) -> Floats:
    """Return log-probabilities along the last axis."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    normed: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normed


@dataclass(frozen=True, slots=True)
class Pool:
    """`weights` has shape (3 levels, members), `offsets` (15,): added to log-probabilities."""

    weights: Floats
    offsets: Floats

    def probabilities(self, scores: Sequence[Floats], levels: Ints) -> Floats:
        """Blend the members' scores, each of shape (n, 15), into probabilities (n, 15)."""
        weights = self.weights[levels].T[..., None]
        # What makes log-odds log-probabilities is a constant a row, and so is its mean: it
        # goes out again with the last step.
        pooled: Floats = weights[0] * scores[0]
        for weight, mine in zip(weights[1:], scores[1:], strict=True):
            pooled += weight * mine
        pooled += self.offsets
        pooled -= pooled.max(axis=1, keepdims=True)
        np.exp(pooled, out=pooled)
        pooled /= pooled.sum(axis=1, keepdims=True)
        return pooled

    def to_json(self) -> dict[str, Any]:
        """Return the weights by level, and the offsets."""
        weights = {level.label: self.weights[level].tolist() for level in InformationLevel}
        return {**weights, "offsets": self.offsets.tolist()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Pool:
        """Read what `to_json` wrote."""
        weights = np.array([data[level.label] for level in InformationLevel], np.float64)
        return cls(weights, np.array(data["offsets"], np.float64))


def mix_offsets(mix: Floats | None, target: Ints) -> Floats:
    """Return what moves log-probabilities from the mix of `target` to another, shape (15,).

    Right as long as incidents of a category look as they did. Without a mix nothing moves.
    """
    if mix is None:
        return np.zeros(len(CATEGORIES))
    shares = np.bincount(target, minlength=len(CATEGORIES)) + 1.0
    offsets: Floats = np.log(mix / mix.sum()) - np.log(shares / shares.sum())
    return offsets


def fit_pool(scores: Sequence[Floats], levels: Ints, target: Ints, offsets: Floats) -> Pool:
    """Fit each level's weights by log-loss on incidents unseen by the members.

    `offsets`, shape (15,), are those of the members that `scores` come from.
    """
    members = np.stack([log_softmax(mine) for mine in scores])
    weights = np.full((len(InformationLevel), len(scores)), 1 / len(scores))
    for level in InformationLevel:
        rows = levels == int(level)
        if rows.any():
            weights[level] = _best_weights(members[:, rows], target[rows], offsets)
    return Pool(weights, offsets)


def _best_weights(members: Floats, target: Ints, offsets: Floats) -> Floats:
    """Find non-negative weights of sum one; `members` has shape (members, n, 15)."""
    from scipy.optimize import minimize

    every = np.arange(len(target))

    def loss(weights: Floats) -> float:
        pooled = np.tensordot(weights / weights.sum(), members, 1)
        return float(-log_softmax(pooled + offsets)[every, target].mean())

    start = np.full(len(members), 1 / len(members))
    found = minimize(loss, start, method="L-BFGS-B", bounds=[(1e-6, 1)] * len(members))
    weights: Floats = found.x / found.x.sum()
    return weights
