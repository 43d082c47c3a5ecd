"""A champion too small to be any good, and windows of later days to hold against it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from crimeguard.evaluate.reference import make_reference
from crimeguard.features.columns import Columns, Floats, Ints
from crimeguard.ingest.drift import Drift
from crimeguard.ingest.frame import canonical
from crimeguard.ingest.simulator import simulate
from crimeguard.monitor.component import Component
from crimeguard.monitor.observed import Observed
from crimeguard.monitor.verdict import Verdict
from crimeguard.registry.bundle import Bundle, write_bundle
from crimeguard.registry.golden import golden_answers
from crimeguard.train.fit import fit_model, targets
from crimeguard.train.params import MonitorParams, Params
from crimeguard.train.split import split_by_time

FIRST, TRAIN_UNTIL, TEST_UNTIL = dt.date(2023, 1, 1), dt.date(2023, 2, 18), dt.date(2023, 3, 4)
START, END = dt.date(2023, 3, 5), dt.date(2023, 3, 18)
ROWS = 2_000
HISTORY = 9_000  # as many a day as ROWS are in a window
PARAMS = MonitorParams(maturity_days=0)


def simulated(
    rows: int, seed: int, first: dt.date, last: dt.date, drifts: Sequence[Drift] = ()
) -> pl.DataFrame:
    """Return simulated incidents as a canonical frame."""
    raw = pl.concat(simulate(rows, seed=seed, start=first, end=last, drifts=drifts))
    return canonical(raw).require_clean("the simulated rows")


def window(seed: int, drift: str | None = None) -> pl.DataFrame:
    """Return two weeks of March, with a drift of its stated strength from the first day on."""
    drifts = [] if drift is None else [Drift(drift, start=START)]
    volume = drifts[0].effect.volume if drifts else 1.0
    return simulated(round(ROWS * volume), seed, START, END, drifts)


def make_champion(
    frame: pl.DataFrame,
    params: Params,
    folder: Path,
    train_until: dt.date = TRAIN_UNTIL,
    test_until: dt.date = TEST_UNTIL,
    *,
    fitted_on: int = HISTORY,
) -> Bundle:
    """Train on at most so many incidents, and keep the reference of all of them."""
    split = split_by_time(frame, params.split, train_until, test_until)
    some = np.random.default_rng(0).permutation(split.train.height)[:fitted_on]
    model = fit_model(split.train[np.sort(some)], train_until, params)
    reference = make_reference(
        split.train, targets(split.train), split.test, targets(split.test),
        lambda level: model.probabilities(Columns.from_frame(split.test, level=level)),
    )  # fmt: skip
    golden = golden_answers(model)
    return write_bundle(model, folder, card={}, golden=golden, reference=reference)


def observe(champion: Bundle, frame: pl.DataFrame, level: Ints | int = 2) -> Observed:
    """Let a champion answer, with the fields above each incident's level hidden from it."""
    columns = Columns.from_frame(frame)
    level = np.broadcast_to(np.asarray(level, np.int64), len(columns)).copy()
    known = replace(columns, level=level).hidden_above_level()
    return Observed.of(frame, level, champion.model.probabilities(known), targets(frame))


def certain(best: Ints, sure: Floats) -> Floats:
    """Return answers, shape (n, 15): the best category's share is `sure`, the rest is even."""
    answers = np.repeat((1 - sure)[:, None] / 14, 15, axis=1)
    answers[np.arange(len(best)), best] = sure
    return answers


def named(found: Verdict | Sequence[Component]) -> dict[str, Component]:
    """Return components by name."""
    components = found.components if isinstance(found, Verdict) else found
    return {item.name: item for item in components}
