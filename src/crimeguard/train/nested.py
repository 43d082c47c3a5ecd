"""Nested splits by time: how good parameters are, told from the training window alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from crimeguard.domain.errors import CrimeGuardError, DataError
from crimeguard.features.columns import Floats
from crimeguard.train.fit import Progress, Shown, fit_model
from crimeguard.train.params import Params
from crimeguard.train.split import day_range, up_to

# A day of incidents in a fold: how many, and the sum of their log-losses in nats.
Days = list[tuple[int, float]]

LEAST: Final = 1e-15  # as in evaluate.metrics.log_loss
_LEAST_DAYS: Final = 7


@dataclass(frozen=True, slots=True)
class Fold:
    """Incidents up to the day `until` to learn from, and newer ones to score."""

    train: pl.DataFrame
    until: dt.date
    test: pl.DataFrame

    @property
    def label(self) -> str:
        """Name the fold by the days that it scores."""
        first, last = day_range(self.test)
        return f"{first} to {last}"


Scorer = Callable[[Fold, Params, Progress], Days]


@dataclass(frozen=True, slots=True)
class Nested:
    """Folds that trials are scored on, oldest first, and the newest days, which none sees."""

    folds: tuple[Fold, ...]
    confirm: Fold


def nested_splits(train: pl.DataFrame, train_until: dt.date, params: Params) -> Nested:
    """Cut a training window that ends on `train_until` into nested folds.

    Each fold learns from all days before it but those of the embargo. Raises DataError if
    the window is too short to leave a week to the first, or holds what is newer.
    """
    first, newest = day_range(train)
    if newest > train_until:
        raise DataError(f"The training window ends on {train_until} and holds {newest}.",
                        fix="Give the training incidents alone.")  # fmt: skip
    how = params.tuning
    confirm_from = train_until - dt.timedelta(how.confirm_days)
    starts = [confirm_from - dt.timedelta(how.fold_days * back) for back in range(how.folds, 0, -1)]
    embargo = dt.timedelta(params.split.embargo_days)
    if (starts[0] - embargo - first).days + 1 < _LEAST_DAYS:
        raise DataError(f"The training window, {first} to {train_until}, is too short to tune in.",
                        why=f"{how.folds} folds of {how.fold_days} days and {how.confirm_days} to "
                            "confirm leave less than a week to the first.",
                        fix="Give more days, or fewer or shorter folds (tuning in params.yaml)."
                        )  # fmt: skip

    def fold(start: dt.date, end: dt.date) -> Fold:
        day = pl.col("date_occ")
        test = train.filter((day > start) & (day <= end)).sort("date_occ", maintain_order=True)
        if not test.height:
            raise DataError(f"No incident occurred between {start} and {end}.",
                            fix="Give data without such gaps, or longer folds.")  # fmt: skip
        until = start - embargo
        return Fold(up_to(train, until, params.split), until, test)

    ends = [*starts[1:], confirm_from]
    folds = tuple(fold(start, end) for start, end in zip(starts, ends, strict=True))
    return Nested(folds, fold(confirm_from, train_until))


def score_fold(fold: Fold, params: Params, progress: Progress) -> Days:
    """Fit a whole model on a fold and return its log-loss, day by day.

    An incident's loss is its mean over the information levels that the data have.
    """
    model = fit_model(fold.train, fold.until, params, progress)
    shown = Shown.of(fold.test)
    probabilities = model.probabilities(shown.columns)
    true = probabilities[np.arange(len(shown.target)), shown.target]
    loss: Floats = -np.log(np.maximum(true, LEAST)).reshape(-1, fold.test.height).mean(axis=0)
    if not np.isfinite(loss).all():
        raise CrimeGuardError("A model answered with what is no number.",
                              why=f"It was trained up to {fold.until}.",
                              fix="Narrow the search space.")  # fmt: skip
    days = fold.test["date_occ"].rank("dense").to_numpy().astype(np.int64) - 1
    counts, sums = np.bincount(days), np.bincount(days, loss)
    return [(int(count), float(total)) for count, total in zip(counts, sums, strict=True)]


def mean_loss(folds: list[Days]) -> float:
    """Return the mean log-loss of the incidents of some folds, in nats."""
    days = np.array([day for fold in folds for day in fold])
    return float(days[:, 1].sum() / days[:, 0].sum())
