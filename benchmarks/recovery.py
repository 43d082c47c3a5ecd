"""What a retraining wins back after a shift of the class mix.

    python benchmarks/recovery.py

A champion of simulated January and February serves; from 1 March on the mix of categories
is another (class_mix_shift, strength 1). Three weeks of labelled traffic later it is
trained again as `crimeguard retrain` does: newest third of the served days held out, old and
new incidents together, moved to the mix of the newest week. Both are scored on four later
weeks that nobody has seen. What can be won back is what the champion falls short of a
model that was trained on two months of the shifted world; `recovered` is the share of it.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import polars as pl

from crimeguard.domain.level import InformationLevel
from crimeguard.evaluate.reference import make_reference
from crimeguard.features.columns import Columns, Floats
from crimeguard.ingest.drift import Drift
from crimeguard.ingest.frame import canonical
from crimeguard.ingest.simulator import simulate
from crimeguard.registry.bundle import Bundle
from crimeguard.retrain.data import changed_mix, train_until
from crimeguard.serve.scoring import score_rows
from crimeguard.train.fit import fit_model, targets
from crimeguard.train.model import Model
from crimeguard.train.params import Params, load_params

ROWS_A_DAY = 300
RUNS = 3
OLD_FIRST, OLD_LAST = dt.date(2023, 1, 1), dt.date(2023, 2, 28)
TRAINED_UNTIL = dt.date(2023, 2, 18)
NEW_FIRST, NEW_LAST = dt.date(2023, 3, 1), dt.date(2023, 3, 21)
LATER_FIRST, LATER_LAST = dt.date(2023, 3, 22), dt.date(2023, 4, 18)


def main() -> None:
    params = load_params(Path(__file__).parents[1] / "params.yaml")
    params = replace(params, xgboost=replace(params.xgboost, rounds=20),
                     linear=replace(params.linear, iterations=40))  # fmt: skip
    print(f"{platform.machine()}, {os.cpu_count()} cores, {dt.datetime.now(dt.UTC).date()}")
    table = np.mean([_run(seed, params) for seed in range(10, 10 * RUNS + 10, 10)], axis=0)
    print(f"mean of {RUNS} runs")
    print("| level | champion before | champion after | trained again | of the shifted world "
          "| recovered |")  # fmt: skip
    for level, (was, now, again, most) in zip(InformationLevel, table.T, strict=True):
        print(f"| {level.label} | {was:.3f} | {now:.3f} | {again:.3f} | {most:.3f} "
              f"| {(again - now) / (most - now):.0%} |")  # fmt: skip


def _run(seed: int, params: Params) -> Floats:
    """Return accuracies, shape (4 models, 3 levels)."""
    shifted = [Drift("class_mix_shift", 1.0)]
    old = _simulated(seed + 1, OLD_FIRST, OLD_LAST)
    new = _simulated(seed + 2, NEW_FIRST, NEW_LAST, shifted)
    later = _simulated(seed + 3, LATER_FIRST, LATER_LAST, shifted)
    champion = fit_model(old.filter(pl.col("date_occ") <= TRAINED_UNTIL), TRAINED_UNTIL, params)
    frame = pl.concat([old, new])
    until = train_until(frame, TRAINED_UNTIL, params, NEW_FIRST)
    mix = changed_mix(frame, _as_bundle(champion, old), until, params)
    assert mix is not None
    train = frame.filter(pl.col("date_occ") <= until)
    challenger = fit_model(train, until, params, mix=mix)
    best = fit_model(_simulated(seed + 4, OLD_FIRST, OLD_LAST, shifted), OLD_LAST, params)
    before = _accuracy(champion, _simulated(seed + 3, LATER_FIRST, LATER_LAST))
    found = np.array([before, *(_accuracy(m, later) for m in (champion, challenger, best))])
    print(f"trained again on {train.height:,} incidents up to {until}, scored on "
          f"{later.height:,}: {np.round(found, 4).tolist()}", flush=True)  # fmt: skip
    return found


def _as_bundle(model: Model, old: pl.DataFrame) -> Bundle:
    """Return what `changed_mix` reads of a bundle, without writing one."""
    train = old.filter(pl.col("date_occ") <= TRAINED_UNTIL)
    test = old.filter(pl.col("date_occ") > TRAINED_UNTIL)

    def probabilities(level: InformationLevel) -> Floats:
        return score_rows(model, Columns.from_frame(test, level=level))

    reference = make_reference(train, targets(train), test, targets(test), probabilities)
    card = {"trained": {"last": TRAINED_UNTIL.isoformat()}}
    return cast(Bundle, SimpleNamespace(reference=reference, card=card))


def _simulated(
    seed: int, start: dt.date, end: dt.date, drifts: Sequence[Drift] = ()
) -> pl.DataFrame:
    rows = ((end - start).days + 1) * ROWS_A_DAY
    dated = [Drift(drift.name, drift.strength, start) for drift in drifts]
    raw = pl.concat(simulate(rows, seed=seed, start=start, end=end, drifts=dated))
    frame = canonical(raw).require_clean("the simulated rows")
    return frame.with_columns(pl.concat_str(pl.lit(str(seed)), "dr_no").alias("dr_no"))


def _accuracy(model: Model, frame: pl.DataFrame) -> list[float]:
    truth = targets(frame)
    found = []
    for level in InformationLevel:
        answers = score_rows(model, Columns.from_frame(frame, level=level))
        found.append(float((answers.argmax(axis=1) == truth).mean()))
    return found


if __name__ == "__main__":
    main()
