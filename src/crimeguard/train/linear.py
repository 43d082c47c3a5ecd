"""The linear member: multinomial logistic regression on crossed one-hots.

Weights have a Gaussian prior (L2); the fit is L-BFGS on the exact gradient. Levels share
no crossed feature, so each level is a problem of its own, solved on its own rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.level import InformationLevel
from crimeguard.features.columns import Floats, Ints
from crimeguard.features.cross import TEMPLATES, level_of_key, template_of
from crimeguard.features.featurizer import Features
from crimeguard.train.params import LinearParams

CLASSES = len(CATEGORIES)
TELLING = (("mo",), ("weapon",))
FEW = 12  # rows up to which sums one by one beat the making of a sparse array


@dataclass(frozen=True, slots=True)
class LinearMember:
    """`weights` has shape (size of the vocabulary, 15), float32."""

    weights: NDArray[np.float32]

    def scores(self, features: Features) -> Floats:
        """Return log-odds of shape (n, 15), up to a constant a row."""
        return summed(features.indices, features.offsets, self.weights).astype(np.float64)


def summed(
    indices: NDArray[np.integer], offsets: Ints, weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Add up the weight rows of each incident, in their order: shape (n, columns of weights).

    Few rows and many come out the same to the last bit: either way one weight row after the
    other is added, in single precision.
    """
    rows = len(offsets) - 1
    if rows > FEW:
        ones = np.ones(len(indices), np.float32)
        matrix = csr_array((ones, indices, offsets), shape=(rows, len(weights)))
        return np.asarray(matrix @ weights)
    sums = np.zeros((rows, weights.shape[1]), np.float32)
    places = offsets.tolist()
    for row in range(rows):
        np.add.reduce(weights[indices[places[row] : places[row + 1]]], axis=0, out=sums[row])
    return sums


def fit_linear(
    features: Features,
    levels: Ints,
    target: Ints,
    vocabulary: Ints,
    params: LinearParams,
    on_step: Callable[[], None] = lambda: None,
) -> LinearMember:
    """Fit every level's block of weights.

    `levels` and `target` have shape (n,): the level that each row is shown at and the
    place of its category in CATEGORIES. `on_step` is called once a level.
    """
    size = len(vocabulary)
    matrix = _sparse(features, size)
    spreads = prior_spreads(vocabulary, params)
    weights = np.zeros((size, CLASSES), np.float32)
    for level in InformationLevel:
        rows = np.flatnonzero(levels == int(level))
        if len(rows):
            block = matrix[rows]
            used = np.unique(block.indices)
            weights[used] = _minimise(
                block[:, used], target[rows], spreads[used], params.iterations
            )
        on_step()
    return LinearMember(weights)


def prior_spreads(vocabulary: Ints, params: LinearParams) -> Floats:
    """Return the prior variance of each key's weights.

    An MO code or weapon by itself may decide a rare category alone ("kidnapped"), so
    these have a prior far wider than the crosses, which would otherwise share the work.
    """
    by_level = np.array([params.spread_call, params.spread_victim, params.spread_report])
    telling = np.array([names in TELLING for _, names in TEMPLATES])
    alone = telling[template_of(vocabulary)]
    spreads: Floats = np.where(alone, params.spread_codes, by_level[level_of_key(vocabulary)])
    return spreads


def _sparse(features: Features, size: int) -> csr_array:
    ones = np.ones(len(features.indices), np.float32)
    shape = (len(features.offsets) - 1, size)
    return csr_array((ones, features.indices, features.offsets), shape=shape)


def _minimise(matrix: csr_array, target: Ints, spread: Floats, iterations: int) -> Floats:
    from scipy.optimize import minimize

    rows, columns = matrix.shape
    matrix = matrix.astype(np.float64)
    transposed = matrix.T.tocsr()
    every = np.arange(rows)

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(columns, CLASSES)
        scores = matrix @ weights
        scores -= scores.max(axis=1, keepdims=True)
        odds = np.exp(scores)
        total = odds.sum(axis=1, keepdims=True)
        value = np.log(total).sum() - scores[every, target].sum()
        residual = odds / total
        residual[every, target] -= 1
        pull = weights / spread[:, None]
        gradient = transposed @ residual + pull
        return float(value + 0.5 * (weights * pull).sum()), gradient.ravel()

    result = minimize(
        loss, np.zeros(columns * CLASSES), jac=True, method="L-BFGS-B",
        options={"maxiter": iterations, "maxcor": 10},
    )  # fmt: skip
    solution: Floats = result.x.reshape(columns, CLASSES)
    return solution
