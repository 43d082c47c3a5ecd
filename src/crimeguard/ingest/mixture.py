"""Latent classes: kinds of incident within a crime code, found by a mixture model.

Within one crime code, premise, weapon, MO codes and victim hang together: a residential
burglary with a ransacked bedroom is not a broken shop window. A mixture of classes within
which the fields are independent keeps most of that with nothing but counts to store.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from crimeguard.ingest.table import Floats, Ints

_ROUNDS: Final = 30
_SMOOTHING: Final = 1.0  # pseudo-incidents that every class borrows from the code as a whole


def latent_classes(
    fields: list[tuple[Ints, float]],
    sets: NDArray[np.bool_],
    *,
    classes: int,
    fewest: int,
    rng: np.random.Generator,
) -> Ints:
    """Assign each incident of one crime code to a latent class by expectation-maximisation.

    Parameters
    ----------
    fields : list of (values, weight)
        Categorical fields, one value an incident (-1 is unknown), and how much each counts.
    sets : array of bool, incidents x members
        A set-valued field (MO codes), each member independent within a class.
    classes : int
        Classes to start with; those that end with fewer than `fewest` incidents dissolve.
    rng : numpy.random.Generator
        Chooses the incidents that the classes start from.

    Returns
    -------
    array of int, incidents
        Class of each incident, from 0 without gaps.
    """
    rows = len(fields[0][0])
    if classes <= 1 or rows < 2 * fewest:
        return np.zeros(rows, dtype=np.int64)
    design, weights, groups = _design(fields)
    member = sets.astype(np.float64)
    belongs = _start(design * weights, member, classes, rng)
    for _ in range(_ROUNDS):
        scores = _scores(belongs, design, weights, groups, member)
        scores -= scores.max(axis=1, keepdims=True)
        belongs = np.exp(scores)
        belongs /= belongs.sum(axis=1, keepdims=True)
    return _settled(scores, fewest, rng)


def _design(fields: list[tuple[Ints, float]]) -> tuple[Floats, Floats, Ints]:
    blocks, weights, groups = [], [], []
    for number, (values, weight) in enumerate(fields):
        seen = np.unique(values[values >= 0])
        blocks.append((values[:, None] == seen[None, :]).astype(np.float64))
        weights += [weight] * len(seen)
        groups += [number] * len(seen)
    return np.hstack(blocks), np.array(weights), np.array(groups, dtype=np.int64)


def _start(design: Floats, member: Floats, classes: int, rng: np.random.Generator) -> Floats:
    """Give each incident to the most similar of some incidents that lie far apart."""
    points = np.hstack([design, member])
    square = (points**2).sum(axis=1)
    centres = [int(rng.integers(len(points)))]
    apart = np.full(len(points), np.inf)
    for _ in range(classes - 1):
        newest = centres[-1]
        gap = square + square[newest] - 2 * points @ points[newest]
        apart = np.minimum(apart, np.maximum(gap, 0))
        total = apart.sum()
        if total <= 0:
            break
        centres.append(int(np.searchsorted(np.cumsum(apart), rng.random() * total)))
    nearest = (square[None, centres] - 2 * points @ points[centres].T).argmin(axis=1)
    return np.asarray(np.eye(len(centres))[nearest], dtype=np.float64)


def _scores(
    belongs: Floats, design: Floats, weights: Floats, groups: Ints, member: Floats
) -> Floats:
    """Return the log-likelihood of each incident under each class, up to a constant."""
    size = belongs.sum(axis=0)
    counts = belongs.T @ design + _SMOOTHING * design.mean(axis=0)
    totals = np.stack([counts[:, groups == g].sum(axis=1) for g in range(groups.max() + 1)], axis=1)
    known = design @ (weights * np.log(counts / totals[:, groups])).T
    rate = (belongs.T @ member + _SMOOTHING * member.mean(axis=0)) / (size + _SMOOTHING)[:, None]
    rate = np.clip(rate, 1e-6, 1 - 1e-6)
    present, absent = np.log(rate), np.log1p(-rate)
    return np.asarray(
        known + member @ (present - absent).T + absent.sum(axis=1) + np.log(size + 1e-9)
    )


def _settled(scores: Floats, fewest: int, rng: np.random.Generator) -> Ints:
    """Draw each incident's class, dissolving the smallest until none is too small.

    Drawing, where taking the likeliest would make every class purer than it is and the
    simulated incidents easier to tell apart than real ones.
    """
    alive = np.ones(scores.shape[1], dtype=bool)
    # The largest of scores with Gumbel noise is a draw in proportion to exp(score).
    noisy = scores - np.log(-np.log(rng.random(scores.shape)))
    while True:
        drawn = np.where(alive, noisy, -np.inf).argmax(axis=1)
        sizes = np.bincount(drawn, minlength=len(alive))
        small = alive & (sizes < fewest)
        if not small.any() or alive.sum() == 1:
            return np.unique(drawn, return_inverse=True)[1].astype(np.int64)
        alive[np.where(small, sizes, len(drawn) + 1).argmin()] = False
