"""How close models of simulated rows come to models of real rows.

    CRIMEGUARD_REALDATA=... python benchmarks/realism.py [same|march] [call,victim,report]

`same`: half of the real January and February 2023 is fitted, the other half scored; the
simulated rows are of the same days. What differs is the simulator alone.
`march`: all of January and February is fitted, March scored, and the simulated rows are
split the same way. Here real time also drifts, which a profile cannot know.

Four figures a level, accuracy and log-loss: real on real, simulated on simulated,
simulated on real, real on simulated. The model is one plain LightGBM.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import polars as pl
from numpy.typing import NDArray

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.codes import category_of
from crimeguard.ingest.frame import canonical
from crimeguard.ingest.profile import fit_profile
from crimeguard.ingest.simulator import simulate
from crimeguard.ingest.source import read_file

CODED = {"call": ["premis_cd", "area"], "victim": ["vict_sex", "vict_descent"],
         "report": ["weapon_used_cd"]}  # fmt: skip
LEVELS = list(CODED)
MARCH = dt.date(2023, 3, 1)
ROUNDS = {"call": 30, "victim": 30, "report": 60}
PARAMETERS = {
    "objective": "multiclass", "num_class": len(CATEGORIES), "learning_rate": 0.08,
    "num_leaves": 24, "feature_fraction": 0.5, "bagging_fraction": 0.8, "bagging_freq": 1,
    "max_cat_threshold": 64, "cat_smooth": 10, "cat_l2": 10, "verbose": -1, "num_threads": 1,
    "seed": 1, "deterministic": True,
}  # fmt: skip
Scorer = Callable[[pl.DataFrame], tuple[float, float]]


def labels(frame: pl.DataFrame) -> NDArray[np.int64]:
    found = [CATEGORIES.index(category_of(code) or "") for code in frame["crm_cd"]]
    return np.array(found, dtype=np.int64)


class Features:
    """One column a field; the codes' order is that of the training rows."""

    def __init__(self, frame: pl.DataFrame, level: str) -> None:
        self._levels = LEVELS[: LEVELS.index(level) + 1]
        names = [name for item in self._levels for name in CODED[item]]
        self._codes: dict[str, dict[Any, int]] = {
            name: {value: at for at, value in enumerate(frame[name].unique().drop_nulls().sort())}
            for name in names
        }
        counts = frame["mocodes"].explode(empty_as_null=True).drop_nulls().value_counts()
        self._mo = counts.filter(pl.col("count") >= 10)["mocodes"].sort().to_list()
        self.categorical = list(range(len(names)))

    def table(self, frame: pl.DataFrame) -> NDArray[np.float32]:
        """Return incidents x features, NaN for what is unknown."""
        columns = [frame[name].replace_strict(codes, default=None, return_dtype=pl.Float32)
                   for name, codes in self._codes.items()]  # fmt: skip
        day, time = frame["date_occ"].dt, frame["time_occ"]
        columns += [time, time // 100, time % 100, day.weekday(), day.day(), frame["rpt_dist_no"],
                    frame["lat"], frame["lon"]]  # fmt: skip
        if "victim" in self._levels:
            columns += [frame["vict_age"], (frame["date_rptd"] - frame["date_occ"]).dt.total_days()]
        if "report" in self._levels:
            columns += [frame["mocodes"].list.len()]
            columns += [frame["mocodes"].list.contains(code) for code in self._mo]
        plain = [item.cast(pl.Float32).fill_null(np.nan).to_numpy() for item in columns]
        return np.column_stack(plain)


def train(frame: pl.DataFrame, level: str) -> Scorer:
    features = Features(frame, level)
    data = lightgbm.Dataset(
        features.table(frame), labels(frame), categorical_feature=features.categorical
    )
    model = lightgbm.train(PARAMETERS, data, ROUNDS[level])

    def score(other: pl.DataFrame) -> tuple[float, float]:
        chances = np.asarray(model.predict(features.table(other), num_threads=1))
        truth = labels(other)
        loss = -np.log(np.clip(chances[np.arange(len(truth)), truth], 1e-9, 1)).mean()
        return float((chances.argmax(axis=1) == truth).mean()), float(loss)

    return score


def simulated(fitted: pl.DataFrame, rows: int, end: dt.date) -> pl.DataFrame:
    start = dt.date(2023, 1, 1)
    frames = simulate(rows, seed=1, start=start, end=end, profile=fit_profile(fitted))
    return canonical(pl.concat(frames)).require_clean("simulated rows")


def halves(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    first = pl.Series(np.random.default_rng(0).random(frame.height) < 0.7)
    return frame.filter(first), frame.filter(~first)


def main() -> None:
    which = sys.argv[1] if len(sys.argv) > 1 else "march"
    wanted = sys.argv[2].split(",") if len(sys.argv) > 2 else LEVELS
    real = read_file(Path(os.environ["CRIMEGUARD_REALDATA"]) / "la_2023q1.parquet").frame
    early = real.filter(pl.col("date_occ") < MARCH)
    if which == "same":
        fitted, scored = halves(early)
        made, other = halves(simulated(fitted, early.height, dt.date(2023, 2, 28)))
    else:
        fitted = early
        scored = real.filter(pl.col("date_occ").is_between(MARCH, dt.date(2023, 3, 31)))
        rows = simulated(fitted, round(early.height * 90 / 59), dt.date(2023, 3, 31))
        made = rows.filter(pl.col("date_occ") < MARCH)
        other = rows.filter(pl.col("date_occ") >= MARCH)
    print(f"{which}: real {fitted.height:,} / {scored.height:,} rows, "
          f"simulated {made.height:,} / {other.height:,} rows")  # fmt: skip
    for level in wanted:
        ours, theirs = train(made, level), train(fitted, level)
        pairs = {
            "real on real": (theirs, scored),
            "sim on sim": (ours, other),
            "sim on real": (ours, scored),
            "real on sim": (theirs, other),
        }
        for name, (model, frame) in pairs.items():
            accuracy, loss = model(frame)
            print(f"{level:7} {name:13} accuracy {accuracy:.4f}  log-loss {loss:.3f}", flush=True)


if __name__ == "__main__":
    main()
