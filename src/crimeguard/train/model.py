"""The fitted model: members, pool and thresholds; one answer at every information level."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crimeguard.features.columns import Columns, Floats
from crimeguard.features.featurizer import Features, Featurizer
from crimeguard.train.conformal import Conformal
from crimeguard.train.kernel import Kernel
from crimeguard.train.linear import LinearMember
from crimeguard.train.neural import NeuralMember
from crimeguard.train.pool import Pool
from crimeguard.train.trees import Boosters

POOLED = 3  # members that the pool blends

# Rows a step: few enough for the cache and for memory, enough to hide the calls.
CHUNK = 4_096


@dataclass(frozen=True, slots=True)
class Members:
    """The members of the model, fitted on the same incidents."""

    linear: LinearMember
    boosters: Boosters
    neural: NeuralMember

    def scores(self, features: Features) -> list[Floats]:
        """Return the log-odds (n, 15) of the members that the pool blends.

        The linear member speaks through the boosters that stand on it.
        """
        linear = self.linear.scores(features)
        return [*self.boosters.scores(features.dense, linear), self.neural.scores(features)]


@dataclass(frozen=True, slots=True)
class Model:
    """Everything fitted, from incidents as arrays to probabilities.

    Where the kernel was compiled, it answers; what it does not take on, NumPy does.
    """

    featurizer: Featurizer
    members: Members
    pool: Pool
    conformal: Conformal
    _kernel: list[Kernel | None] = field(
        init=False, repr=False, compare=False, default_factory=list
    )

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the kernel behind: a worker of a cluster lays out its own."""
        return Model, (self.featurizer, self.members, self.pool, self.conformal)

    @property
    def kernel(self) -> Kernel | None:
        """The model's tables for the compiled kernel, laid out when first asked for."""
        if not self._kernel:
            parts = self.members
            self._kernel.append(
                Kernel.of(self.featurizer, parts.linear, parts.boosters, parts.neural, self.pool)
            )
        return self._kernel[0]

    def probabilities(self, columns: Columns) -> Floats:
        """Return calibrated probabilities of shape (n, 15), in the order of CATEGORIES."""
        kernel = self._kernel[0] if self._kernel else self.kernel
        if kernel is not None and (shares := kernel.probabilities(columns)) is not None:
            return shares
        return self.reference(columns)

    def reference(self, columns: Columns) -> Floats:
        """Return the same as `probabilities`, by NumPy alone."""
        if 0 < len(columns) <= CHUNK:
            return self._probabilities(columns)
        parts = [
            self._probabilities(columns.rows(start, min(start + CHUNK, len(columns))))
            for start in range(0, len(columns), CHUNK)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, 15))

    def prediction_sets(self, probabilities: Floats, columns: Columns) -> NDArray[np.bool_]:
        """Return membership in the conformal set, shape (n, 15)."""
        return self.conformal.sets(probabilities, columns.level)

    def _probabilities(self, columns: Columns) -> Floats:
        scores = self.members.scores(self.featurizer.transform(columns))
        return self.pool.probabilities(scores, columns.level)
