"""The scores of README and docs: real rows, simulated rows, and simulated to real.

    CRIMEGUARD_REALDATA=... python benchmarks/scores.py [--simulated]

Trains with params.yaml on January and February 2023 and scores March, as `crimeguard
train` does. With --simulated also on as many simulated rows of the same days, and scores
that model on simulated and on real March. The simulator's packaged profile was fitted on
January and February only.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

from crimeguard.evaluate.evaluation import Evaluation, evaluate_model
from crimeguard.ingest.frame import canonical
from crimeguard.ingest.simulator import simulate
from crimeguard.ingest.source import read_file
from crimeguard.train.fit import fit_model, targets
from crimeguard.train.model import Model
from crimeguard.train.params import Params, load_params
from crimeguard.train.split import TimeSplit, split_by_time

TRAIN_UNTIL, TEST_UNTIL = dt.date(2023, 2, 28), dt.date(2023, 3, 31)
RESAMPLES = 500


def main() -> None:
    params = load_params(Path(__file__).parents[1] / "params.yaml")
    print(f"{platform.machine()}, {os.cpu_count()} cores, {dt.datetime.now(dt.UTC).date()}")
    path = Path(os.environ["CRIMEGUARD_REALDATA"]) / "la_2023q1.parquet"
    real = _split(read_file(path).require_clean(path.name), params)
    model = _fit(real, params)
    _show("real to real", model, real.test)
    if "--simulated" in sys.argv:
        rows = real.train.height + real.test.height
        first, last = dt.date(2023, 1, 1), TEST_UNTIL
        raw = pl.concat(simulate(rows, seed=3, start=first, end=last))
        made = _split(canonical(raw).frame, params)
        model = _fit(made, params)
        _show("simulated to simulated", model, made.test)
        _show("simulated to real", model, real.test)


def _split(frame: pl.DataFrame, params: Params) -> TimeSplit:
    return split_by_time(frame, params.split, TRAIN_UNTIL, TEST_UNTIL)


def _fit(split: TimeSplit, params: Params) -> Model:
    begin = time.perf_counter()
    model = fit_model(split.train, split.train_until, params)
    print(f"fitted on {split.train.height:,} rows in {time.perf_counter() - begin:.0f} s")
    return model


def _show(name: str, model: Model, test: pl.DataFrame) -> None:
    found = evaluate_model(model, test)
    low, high = _interval(found, test)
    print(f"{name}: {found.rows:,} incidents of March")
    for label, item in reversed(found.levels.items()):
        s = item.scores
        print(f"  {label:7s} accuracy {s.accuracy:.4f}  weighted F1 {s.weighted_f1:.4f}  "
              f"macro F1 {s.macro_f1:.4f}  macro AUC {s.macro_roc_auc:.4f}  log-loss "
              f"{s.log_loss:.4f}  ECE {s.ece:.4f}  top 3 {s.top3:.4f}  coverage "
              f"{item.coverage:.3f}  set {item.set_size:.2f}")  # fmt: skip
    print(f"  95 % interval of accuracy at the highest level: {low:.4f} to {high:.4f}")


def _interval(found: Evaluation, test: pl.DataFrame) -> tuple[float, float]:
    """Bootstrap the accuracy over incidents (percentile interval)."""
    hits = round(found.best.scores.accuracy * found.rows)
    drawn = np.random.default_rng(0).binomial(len(targets(test)), hits / found.rows, RESAMPLES)
    low, high = np.quantile(drawn / found.rows, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
