"""Cases for the gates, and models with one fault each."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from crimeguard.evaluate.evaluation import evaluate_model
from crimeguard.evaluate.gate import Case, Contender
from crimeguard.features.columns import Columns, Floats
from crimeguard.ingest.frame import canonical
from crimeguard.ingest.simulator import simulate
from crimeguard.settings import Settings
from crimeguard.train.fit import targets
from crimeguard.train.model import Model
from crimeguard.train.params import Params, params_from_dict
from crimeguard.train.split import TimeSplit, split_by_time

# Small enough for seconds, good enough that a fault shows.
SMALL: dict[str, Any] = {
    "threads": 1,
    "features": {"min_count": 8, "mo_columns": 60},
    "linear": {"iterations": 40, "folds": 2},
    "xgboost": {"rounds": 15, "learning_rate": 0.3},
    "lightgbm": {"rounds": 8, "learning_rate": 0.2},
    "neural": {"units": 32, "epochs": 1, "seeds": 1},
    "checks": {"min_test_rows": 1000, "max_ece": 0.06, "min_macro_auc": 0.9,
               "min_log_loss_gain": 0.1, "min_coverage": 0.75},
    # A hold-out of 2,000 rows says less exactly how good a model is.
    "gates": {"deepchecks": False, "resamples": 400, "max_loss": 0.03, "max_slice_loss": 0.1,
              "min_slice_rows": 60, "max_latency_ms": 1000.0, "max_latency_ratio": 4.0},
}  # fmt: skip


def params() -> Params:
    return params_from_dict(SMALL, source="the tests")


def gated(case: Case, **changes: Any) -> Case:
    """Return the same case, to be judged by other bounds of the gates."""
    return replace(case, params=replace(case.params, gates=replace(case.params.gates, **changes)))


def make_split(rows: int, seed: int) -> TimeSplit:
    first, last = dt.date(2023, 1, 1), dt.date(2023, 3, 12)
    raw = pl.concat(simulate(rows, seed=seed, start=first, end=last))
    return split_by_time(canonical(raw).require_clean("the simulated rows"), params().split)


def contender(name: str, model: Model, last: dt.date, *, size_bytes: int = 9_000_000) -> Contender:
    return Contender(name, name * 4, model, {"trained": {"last": str(last)}}, size_bytes)


def make_case(
    challenger: Contender, champion: Contender | None,
    train: pl.DataFrame, test: pl.DataFrame, params: Params,
) -> Case:  # fmt: skip
    evaluation = evaluate_model(challenger.model, test, seed=params.seed)
    return Case(challenger, champion, train, test, evaluation, params, Settings())


def challenged(case: Case, model: Model) -> Case:
    """Return the same case with another challenger."""
    return make_case(
        replace(case.challenger, model=model), case.champion, case.train, case.test, case.params
    )


def sharpened(model: Model, by: float) -> Model:
    """Return the model with its probabilities raised to a power: surer, and no better."""
    return replace(model, pool=replace(model.pool, weights=model.pool.weights * by))


class Wrapped(Model):
    """A model whose answers are changed on the way out."""

    __slots__ = ("change",)
    change: Callable[[Columns, Floats], Floats]

    def probabilities(self, columns: Columns) -> Floats:
        return self.change(columns, Model.probabilities(self, columns))


def wrapped(model: Model, change: Callable[[Columns, Floats], Floats]) -> Model:
    faulty = Wrapped(model.featurizer, model.members, model.pool, model.conformal)
    object.__setattr__(faulty, "change", change)
    return faulty


def second_best(chosen: Callable[[Columns], Any]) -> Callable[[Columns, Floats], Floats]:
    """Make the second answer the first where chosen, by a hair: wrong, not absurd."""

    def change(columns: Columns, shares: Floats) -> Floats:
        order = np.argsort(shares, axis=1)
        rows = np.flatnonzero(chosen(columns))
        first, second = order[rows, -1], order[rows, -2]
        mean = (shares[rows, first] + shares[rows, second]) / 2
        changed = shares.copy()
        changed[rows, first], changed[rows, second] = mean * 0.999, mean * 1.001
        return changed

    return change


def every(step: int, where: Callable[[Columns], Any] = lambda columns: True) -> Any:
    """Choose one in so many rows of a place, the same at every level."""
    return lambda columns: where(columns) & ((columns.day + columns.time_occ) % step == 0)


def slow(seconds: float) -> Callable[[Columns, Floats], Floats]:
    def change(columns: Columns, shares: Floats) -> Floats:
        if len(columns) == 1:
            time.sleep(seconds)
        return shares

    return change


def by_heart(train: pl.DataFrame) -> Callable[[Columns, Floats], Floats]:
    """Answer incidents of the training rows with what they were."""
    truth = dict(zip(_keys(Columns.from_frame(train)), targets(train).tolist(), strict=True))

    def change(columns: Columns, shares: Floats) -> Floats:
        changed = shares.copy()
        for row, key in enumerate(_keys(columns)):
            if key in truth:
                changed[row] = 1e-4 / 14
                changed[row, truth[key]] = 1 - 1e-4
        return changed

    return change


def _keys(columns: Columns) -> list[tuple[float, ...]]:
    parts = (columns.day, columns.time_occ, columns.rpt_dist_no, columns.lat, columns.lon)
    return list(zip(*(part.tolist() for part in parts), strict=True))
