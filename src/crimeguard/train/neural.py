"""The neural member: one hidden layer on plain one-hots, several seeds averaged.

It is weaker alone than the boosters, but errs elsewhere: it sees fields and MO codes as
points in a space of their own and not as crosses that were counted. Fitted with
scikit-learn; what serves is two matrix products.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from crimeguard.features.columns import Floats, Ints
from crimeguard.features.cross import TEMPLATES, template_of
from crimeguard.features.featurizer import Features
from crimeguard.train.linear import CLASSES, summed
from crimeguard.train.params import NeuralParams

Weights = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class NeuralMember:
    """`rows` has the size of the vocabulary: the row of `hidden` of each key, -1 for crosses.

    `hidden` has shape (plain keys, units), `bias` (units,), `output` (units, 15) and
    `output_bias` (15,); the units of all seeds stand side by side.
    """

    rows: NDArray[np.int32]
    hidden: Weights
    bias: Weights
    output: Weights
    output_bias: Weights

    def scores(self, features: Features) -> Floats:
        """Return log-odds of shape (n, 15), up to a constant a row."""
        units = summed(*_plain(features, self.rows), self.hidden)
        units += self.bias
        np.maximum(units, 0, out=units)
        # One product of all rows rounds by how many they are; one product a row gives an
        # incident the same answer to the last bit alone and in a batch.
        scores: Weights = np.matmul(units[:, None, :], self.output)[:, 0]
        scores += self.output_bias
        return scores.astype(np.float64)

    def save(self, path: Path) -> None:
        """Write the arrays as one .npz file."""
        np.savez(path, rows=self.rows, hidden=self.hidden, bias=self.bias,
                 output=self.output, output_bias=self.output_bias)  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> NeuralMember:
        """Read the arrays; objects that would need unpickling are refused."""
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return cls(**{name: arrays[name] for name in cls.__slots__})


def fit_neural(
    features: Features,
    vocabulary: Ints,
    target: Ints,
    params: NeuralParams,
    *,
    seed: int,
    on_step: Callable[[], None] = lambda: None,
) -> NeuralMember:
    """Fit one network a seed; `on_step` is called after each."""
    rows = plain_rows(vocabulary)
    indices, offsets = _plain(features, rows)
    ones = np.ones(len(indices), np.float32)
    matrix = csr_array((ones, indices, offsets), shape=(len(offsets) - 1, int(rows.max()) + 1))
    nets = []
    for number in range(params.seeds):
        nets.append(_fit_one(matrix, target, params, seed + number))
        on_step()
    return NeuralMember(
        rows,
        np.hstack([net[0] for net in nets]),
        np.concatenate([net[1] for net in nets]),
        np.vstack([net[2] for net in nets]) / np.float32(len(nets)),
        np.mean([net[3] for net in nets], axis=0, dtype=np.float32),
    )


def plain_rows(vocabulary: Ints) -> NDArray[np.int32]:
    """Give each key of at most one atom a row of its own; crosses get -1."""
    single = np.array([len(names) <= 1 for _, names in TEMPLATES])
    plain = single[template_of(vocabulary)]
    return np.where(plain, np.cumsum(plain) - 1, -1).astype(np.int32)


def _plain(features: Features, rows: NDArray[np.int32]) -> tuple[NDArray[np.int32], Ints]:
    """Return the plain keys of the incidents, as rows of `hidden`, and their offsets (n + 1,)."""
    row = rows[features.indices]
    known = row >= 0
    kept = np.zeros(len(known) + 1, np.int64)
    np.cumsum(known, out=kept[1:])
    return row[known], kept[features.offsets]


def _fit_one(
    matrix: csr_array, target: Ints, params: NeuralParams, seed: int
) -> tuple[Weights, Weights, Weights, Weights]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    net = MLPClassifier(
        (params.units,), alpha=params.l2, batch_size=min(params.batch, len(target)),
        learning_rate_init=params.learning_rate, max_iter=params.epochs, random_state=seed,
    )  # fmt: skip
    with warnings.catch_warnings(), threadpool_limits(1):
        # It is stopped early on purpose.
        warnings.simplefilter("ignore", ConvergenceWarning)
        net.fit(matrix, target)
    hidden, output = (weights.astype(np.float32) for weights in net.coefs_)
    bias, output_bias = (weights.astype(np.float32) for weights in net.intercepts_)
    return hidden, bias, *_spread(output, output_bias, net.classes_)


def _spread(output: Weights, bias: Weights, classes: Ints) -> tuple[Weights, Weights]:
    """Put the columns of the categories that occurred in their places; the others never win."""
    if len(classes) == CLASSES:
        return output, bias
    wide = np.zeros((len(output), CLASSES), np.float32)
    low = np.full(CLASSES, -10.0, np.float32)
    wide[:, classes], low[classes] = output, bias
    return wide, low
