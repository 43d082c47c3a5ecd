"""Splits by time, with an embargo; there is no other kind here."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import polars as pl

from crimeguard.domain.errors import DataError, UsageError
from crimeguard.train.params import SplitParams


@dataclass(frozen=True, slots=True)
class TimeSplit:
    """Incidents to train on, and newer ones to score.

    Training incidents occurred on or before `train_until`, test incidents later, up to
    `test_until`. Of many, either is a sample that is even over time: `train_days` has the
    day of every incident that could have been trained on, `test_rows` counts all that could
    have been scored.
    """

    train: pl.DataFrame
    test: pl.DataFrame
    train_until: dt.date
    test_until: dt.date
    train_days: pl.Series
    test_rows: int

    @property
    def sample(self) -> str:
        """How the training incidents were chosen, in words."""
        return _chosen(self.train.height, len(self.train_days))

    @property
    def test_sample(self) -> str:
        """How the test incidents were chosen, in words."""
        return _chosen(self.test.height, self.test_rows)


def _chosen(rows: int, of: int) -> str:
    return "all" if rows == of else f"{rows:,} of {of:,}, evenly over time"


def split_by_time(
    frame: pl.DataFrame,
    params: SplitParams,
    train_until: dt.date | None = None,
    test_until: dt.date | None = None,
) -> TimeSplit:
    """Cut at the given dates; without them the newest share of the days is the test."""
    order = [name for name in ("date_occ", "time_occ", "dr_no") if name in frame.columns]
    frame = frame.sort(order, nulls_last=True)
    first, last = day_range(frame)
    if train_until is None:
        train_until = last - dt.timedelta(round(((last - first).days + 1) * params.test_share))
    test_until = last if test_until is None else test_until
    if test_until < train_until:
        raise UsageError(f"The test ends on {test_until}, before training ends on {train_until}.",
                         fix="Give a later --test-until, or an earlier --train-until.")  # fmt: skip
    day = pl.col("date_occ")
    test = frame.filter((day > train_until) & (day <= test_until))
    train = up_to(frame, train_until, params)
    if not train.height:
        raise DataError(f"No incident to train on occurred by {train_until}.",
                        why=f"The data run from {first} to {last}.",
                        fix="Give a later --train-until.")  # fmt: skip
    return TimeSplit(
        thinned(train, params.most_training_rows), thinned(test, params.most_test_rows),
        train_until, test_until, train["date_occ"], test.height,
    )  # fmt: skip


def thinned(frame: pl.DataFrame, most: int) -> pl.DataFrame:
    """Return at most so many rows, at even steps; of rows in the order of time, even over it.

    Nothing is drawn by chance: the same rows are chosen wherever they are asked for.
    """
    if frame.height <= most:
        return frame
    return frame[np.arange(most) * frame.height // most]


def up_to(frame: pl.DataFrame, day: dt.date, params: SplitParams) -> pl.DataFrame:
    """Return the incidents that may be learnt from at the end of a day."""
    known = pl.col("date_occ") <= day
    if params.reported_by_then and "date_rptd" in frame.columns:
        known &= (pl.col("date_rptd") <= day) | pl.col("date_rptd").is_null()
    return frame.filter(known)


def calibration_split(
    train: pl.DataFrame, train_until: dt.date, params: SplitParams
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Cut the newest days off a training frame, with an embargo before them.

    Returns the incidents to fit members on and those to calibrate the pool on.
    """
    first, _ = day_range(train)
    days = (train_until - first).days + 1
    newest = min(params.calibration_days, max(1, days // 4))
    start = train_until - dt.timedelta(newest)
    fit = up_to(train, start - dt.timedelta(params.embargo_days), params)
    calibrate = train.filter(pl.col("date_occ") > start)
    if not fit.height or not calibrate.height:
        raise DataError("There are too few days to train on.",
                        why=f"The training data run from {first} to {train_until}.",
                        fix="Give at least a week of incidents.")  # fmt: skip
    return fit, calibrate


def day_range(frame: pl.DataFrame) -> tuple[dt.date, dt.date]:
    """Return the first and last day of some incidents; DataError if none has a date."""
    first, last = frame["date_occ"].min(), frame["date_occ"].max()
    if not isinstance(first, dt.date) or not isinstance(last, dt.date):
        raise DataError("There is no incident with a date.", fix="Give at least a week of data.")
    return first, last
