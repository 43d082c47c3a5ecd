"""The reference profile: what the data looked like that a model was made from.

Made at training time and kept in the bundle, at a fixed size: a sample of the training
incidents, how far each field moves by itself from week to week, and how the model did on
its hold-out. Drift is measured against it.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.level import InformationLevel
from crimeguard.evaluate.distance import Bins, correlation_pairs, correlations, excess
from crimeguard.evaluate.watched import WATCHED, watched_frame
from crimeguard.features.columns import Floats, Ints

SAMPLE_ROWS: Final = 10_000
WEEK: Final = 7  # days
_LEAST_WEEK: Final = 200  # incidents; a thinner week is mostly noise
TABLE: Final = "reference.json"
SAMPLE: Final = "reference.parquet"


@dataclass(frozen=True, slots=True)
class LevelReference:
    """How the model did on its hold-out at one level.

    `predicted` counts the predictions by category, shape (15,), as they would be if the
    hold-out had the training days' mix of categories: its two or three weeks have a mix of
    their own. `gap` is accuracy less mean confidence; `gap_error` the standard error of
    that mean, `gap_spread` how much the gap varies between days beyond what the number of
    incidents explains.
    """

    rows: int
    accuracy: float
    confidence: float
    gap: float
    gap_error: float
    gap_spread: float
    predicted: tuple[float, ...]

    @classmethod
    def of(cls, probabilities: Floats, truth: Ints, day: Ints, weight: Floats) -> LevelReference:
        """Measure one level on a hold-out; arrays of shape (n,), `weight` for `predicted`."""
        sure = probabilities.max(axis=1)
        best = probabilities.argmax(axis=1)
        gaps = (best == truth) - sure
        return cls(
            rows=len(truth),
            accuracy=float((best == truth).mean()),
            confidence=float(sure.mean()),
            gap=float(gaps.mean()),
            gap_error=float(gaps.std() / math.sqrt(len(gaps))),
            gap_spread=_spread_between(gaps, day),
            predicted=tuple(np.bincount(best, weight, minlength=len(CATEGORIES)).tolist()),
        )


@dataclass(frozen=True, slots=True)
class Reference:
    """See the module; `sample` holds `watched_frame` of training incidents, and `label`.

    `natural` holds by field the root mean square of the distance between one week of the
    training days and the others (Jensen-Shannon, less chance); likewise under `labels`, and
    by pair the spread of the correlations. `volume_natural` is that of the logarithm of the
    incidents a day, `daily` their median; `labels` counts the training incidents by category.
    """

    sample: pl.DataFrame
    rows: int
    first: str
    last: str
    natural: Mapping[str, float]
    labels: tuple[int, ...]
    daily: float
    volume_natural: float
    levels: Mapping[str, LevelReference]

    def bins(self) -> dict[str, Bins]:
        """Return the classes of every field, as its sample defines them."""
        return {field.name: Bins.fit(field, self.sample[field.name]) for field in WATCHED}

    def files(self) -> dict[str, bytes]:
        """Return the profile as the content of two files, by name."""
        table = {
            "rows": self.rows, "first": self.first, "last": self.last,
            "natural": dict(self.natural), "labels": self.labels, "daily": self.daily,
            "volume_natural": self.volume_natural,
            "levels": {label: asdict(item) for label, item in self.levels.items()},
        }  # fmt: skip
        sample = io.BytesIO()
        self.sample.write_parquet(sample, compression="zstd", compression_level=9)
        text = json.dumps(table, indent=1, sort_keys=True, allow_nan=False)
        return {TABLE: text.encode(), SAMPLE: sample.getvalue()}

    @classmethod
    def load(cls, folder: Path) -> Reference:
        """Read what `files` returned from a bundle's folder, which was verified before."""
        table = json.loads((folder / TABLE).read_text())
        levels = {
            label: LevelReference(**{**item, "predicted": tuple(item["predicted"])})
            for label, item in table.pop("levels").items()
        }
        labels = tuple(table.pop("labels"))
        sample = pl.read_parquet(folder / SAMPLE)
        return cls(sample=sample, labels=labels, levels=levels, **table)


def make_reference(
    train: pl.DataFrame,
    train_truth: Ints,
    test: pl.DataFrame,
    test_truth: Ints,
    probabilities: Callable[[InformationLevel], Floats],
    *,
    days: pl.Series | None = None,
    seed: int = 0,
) -> Reference:
    """Summarise a training frame, and a model on the hold-out that came after it.

    Parameters
    ----------
    train, test : polars.DataFrame
        Canonical incidents with `date_occ`, shapes (n,) and (m,).
    train_truth, test_truth : array
        Places of their categories in CATEGORIES.
    probabilities : callable
        Returns the model's answers on `test` at a level, shape (m, 15).
    days : polars.Series, optional
        The day of every incident, where `train` is a sample of them: volumes are of all.
    """
    fields = watched_frame(train)
    weeks = _weeks(fields["date_occ"])
    chosen = np.sort(np.random.default_rng(seed).permutation(train.height)[:SAMPLE_ROWS])
    names = pl.Series("label", CATEGORIES, dtype=pl.String).gather(train_truth)
    sample = fields.with_columns(names)[chosen]
    day = test["date_occ"].cast(pl.Int32).cast(pl.Int64).to_numpy()
    daily = daily_counts(fields["date_occ"] if days is None else days)
    labels = np.bincount(train_truth, minlength=len(CATEGORIES))
    weight = _weights(labels, test_truth)
    return Reference(
        sample=sample,
        rows=train.height,
        first=str(fields["date_occ"].min()),
        last=str(fields["date_occ"].max()),
        natural=_natural(fields, train_truth, weeks),
        labels=tuple(labels.tolist()),
        daily=float(np.median(daily)),
        volume_natural=_volume_natural(daily),
        levels={
            level.label: LevelReference.of(probabilities(level), test_truth, day, weight)
            for level in InformationLevel
        },
    )


def daily_counts(days: pl.Series) -> Floats:
    """Count incidents on each day, from the first to the last; days without any count 0.

    The outermost days, which may have been cut short, are left out if others remain, and
    so are single old days: what is reported a year late does not stretch the window.
    """
    number = days.drop_nulls().cast(pl.Int32).to_numpy()
    if not len(number):
        return np.zeros(0)
    low, high = np.quantile(number, [0.02, 1.0]).astype(int)
    counts = np.bincount(number[number >= low] - low, minlength=high - low + 1)
    return counts[1:-1].astype(np.float64) if len(counts) > 2 else counts.astype(np.float64)


def _weights(labels: Ints, truth: Ints) -> Floats:
    """Weigh hold-out incidents so that their categories have the training days' shares."""
    here = np.bincount(truth, minlength=len(CATEGORIES))
    weight = np.where(here > 0, labels / np.maximum(here, 1), 0.0)[truth]
    total = float(weight.sum())
    return weight * (len(truth) / total) if total else np.ones(len(truth))


def _weeks(days: pl.Series) -> Ints:
    """Return each incident's week from the first day on, shape (n,); -1 in an unfinished one."""
    number = days.cast(pl.Int32).to_numpy().astype(np.int64)
    week = (number - number.min()) // WEEK
    whole = (number.max() - number.min() + 1) // WEEK
    return np.where(week < whole, week, -1)


def _natural(fields: pl.DataFrame, truth: Ints, weeks: Ints) -> dict[str, float]:
    """Return the root mean square distance of a week from the rest, by what is compared."""
    inside = [weeks == week for week in range(int(weeks.max(initial=-1)) + 1)]
    inside = [rows for rows in inside if rows.sum() >= _LEAST_WEEK and not rows.all()]
    found = {}
    for field in WATCHED:
        bins = Bins.fit(field, fields[field.name])
        whole = bins.counts(fields[field.name])
        parts = [bins.counts(fields[field.name].filter(pl.Series(rows))) for rows in inside]
        found[field.name] = _root_mean([excess(part, whole - part) for part in parts])
    whole = np.bincount(truth, minlength=len(CATEGORIES)).astype(np.float64)
    parts = [
        np.bincount(truth[rows], minlength=len(CATEGORIES)).astype(np.float64) for rows in inside
    ]
    found["labels"] = _root_mean([excess(part, whole - part) for part in parts])
    overall, _ = correlations(fields)
    weekly = [correlations(fields.filter(pl.Series(rows))) for rows in inside]
    for place, pair in enumerate(correlation_pairs()):
        # A correlation of n incidents varies by about 1/n, squared, by chance.
        moved = [
            float((week[place] - overall[place]) ** 2 - 1 / max(known[place], 1.0))
            for week, known in weekly
        ]
        found[pair] = _root_mean([value for value in moved if math.isfinite(value)])
    return found


def _root_mean(squares: list[float]) -> float:
    return math.sqrt(max(0.0, float(np.mean(squares)))) if squares else 0.0


def _volume_natural(daily: Floats) -> float:
    weeks = [daily[start : start + WEEK] for start in range(0, len(daily) - WEEK + 1, WEEK)]
    medians = np.array([np.median(week) for week in weeks])
    if len(medians) < 2 or not medians.all():
        return 0.0
    return float(np.log(medians / np.median(daily)).std())


def _spread_between(gaps: Floats, day: Ints) -> float:
    """Return the standard deviation of daily means beyond what their sizes explain."""
    _, place, sizes = np.unique(day, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        return 0.0
    means = np.bincount(place, gaps) / sizes
    by_chance = gaps.var() / sizes
    beyond = np.average((means - gaps.mean()) ** 2 - by_chance, weights=sizes)
    return math.sqrt(max(0.0, float(beyond)))
