"""Who does the heavy work of a training: this machine, or a cluster (`train/cluster.py`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import xgboost
from numpy.typing import NDArray

from crimeguard.features.columns import Ints
from crimeguard.features.dense import Matrix

T = TypeVar("T")
Step = Callable[[], None]


class Crew(Protocol):
    """What a training asks for.

    `at_once` is how many independent fits may run side by side, `threads` how many each of
    the boosters may use.
    """

    at_once: int
    threads: int

    def call(self, fit: Callable[..., T], *args: Any, on_step: Step, **kwargs: Any) -> T:
        """Run one fit, which calls `on_step` as it goes on, and return what it returns."""

    def each(self, fits: Sequence[Callable[[], Any]]) -> list[Any]:
        """Run fits that do not depend on each other."""

    def boost(
        self, params: dict[str, Any], table: Matrix, target: Ints, start: NDArray[np.float32],
        rounds: int, on_step: Step,
    ) -> xgboost.Booster:  # fmt: skip
        """Train XGBoost on rows of a table that start from the scores `start`, (n, 15)."""


class Here:
    """The machine that this runs on, with so many threads."""

    def __init__(self, threads: int) -> None:
        self.at_once = self.threads = threads

    def call(self, fit: Callable[..., T], *args: Any, on_step: Step, **kwargs: Any) -> T:
        """Call the fit."""
        return fit(*args, on_step=on_step, **kwargs)

    def each(self, fits: Sequence[Callable[[], Any]]) -> list[Any]:
        """Run one after the other: each takes all threads by itself."""
        return [fit() for fit in fits]

    def boost(
        self, params: dict[str, Any], table: Matrix, target: Ints, start: NDArray[np.float32],
        rounds: int, on_step: Step,
    ) -> xgboost.Booster:  # fmt: skip
        """Train in this process."""
        data = xgboost.DMatrix(table, target, base_margin=start)
        return xgboost.train(params, data, rounds, callbacks=[_Steps(on_step)])


class _Steps(xgboost.callback.TrainingCallback):  # type: ignore[misc]
    def __init__(self, on_step: Step) -> None:
        self.on_step = on_step

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002
        self.on_step()
        return False
