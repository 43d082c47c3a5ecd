from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xgboost

from crimeguard.train.crew import Here


def counted(number: int, *, on_step: Callable[[], None], by: int = 1) -> int:
    for _ in range(number):
        on_step()
    return number * by


def test_here_a_fit_is_a_call() -> None:
    crew, steps = Here(3), [0]
    assert (crew.at_once, crew.threads) == (3, 3)
    assert crew.call(counted, 4, by=2, on_step=lambda: steps.append(1)) == 8
    assert sum(steps) == 4


def test_here_fits_run_one_after_the_other() -> None:
    order: list[int] = []

    def noted(number: int) -> Callable[[], int]:
        def fit() -> int:
            order.append(number)
            return -number

        return fit

    assert Here(2).each([noted(number) for number in range(5)]) == [0, -1, -2, -3, -4]
    assert order == [0, 1, 2, 3, 4]


def test_here_xgboost_starts_from_the_scores_and_tells_each_round() -> None:
    rng = np.random.default_rng(1)
    table = rng.normal(size=(200, 3)).astype(np.float32)
    target = (table[:, 0] > 0).astype(np.int64)
    start = rng.normal(size=(200, 2)).astype(np.float32)
    params = {"objective": "multi:softprob", "num_class": 2, "nthread": 1, "seed": 3}
    steps: list[int] = []
    made = Here(1).boost(params, table, target, start, 3, lambda: steps.append(1))
    theirs = xgboost.train(params, xgboost.DMatrix(table, target, base_margin=start), 3)
    assert made.save_raw("json") == theirs.save_raw("json")
    assert len(steps) == 3
