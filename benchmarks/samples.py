"""What a sample of the training days costs, and how it is best taken: on real rows.

    CRIMEGUARD_REALDATA=... python benchmarks/samples.py [--light]

Half of the rows, evenly over time or the newest, against all of them; on the nested splits of
docs/decisions (never March). `--light` fits fewer and smaller trees and one network, for a
machine with other work.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl

from crimeguard.evaluate.metrics import score
from crimeguard.features.columns import Columns
from crimeguard.ingest.source import read_file
from crimeguard.train.fit import fit_model, targets
from crimeguard.train.params import Params, load_params
from crimeguard.train.split import thinned

SPLITS = (
    (dt.date(2023, 2, 12), dt.date(2023, 2, 28)),
    (dt.date(2023, 1, 31), dt.date(2023, 2, 14)),
)
WAYS: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "all": lambda rows: rows,
    "half, evenly over time": lambda rows: thinned(rows, rows.height // 2),
    "half, the newest": lambda rows: rows.tail(rows.height // 2),
}


def main() -> None:
    params = load_params(Path(__file__).parents[1] / "params.yaml")
    if "--light" in sys.argv:
        params = _light(params)
    path = Path(os.environ["CRIMEGUARD_REALDATA"]) / "la_2023q1.parquet"
    rows = read_file(path).require_clean(path.name).sort("date_occ", "time_occ", "dr_no")
    for until, last in SPLITS:
        day = pl.col("date_occ")
        train, test = rows.filter(day <= until), rows.filter((day > until) & (day <= last))
        columns, truth = Columns.from_frame(test), targets(test)
        for name, choose in WAYS.items():
            chosen = choose(train)
            found = score(fit_model(chosen, until, params).probabilities(columns), truth)
            print(f"to {until}, {name:24}{chosen.height:8,} rows: accuracy {found.accuracy:.4f}, "
                  f"macro F1 {found.macro_f1:.4f}, log-loss {found.log_loss:.4f}, "
                  f"ECE {found.ece:.4f}", flush=True)  # fmt: skip


def _light(params: Params) -> Params:
    return replace(
        params,
        xgboost=replace(params.xgboost, rounds=30, max_depth=6, learning_rate=0.2),
        neural=replace(params.neural, seeds=1),
    )


if __name__ == "__main__":
    main()
