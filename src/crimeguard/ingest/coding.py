"""How the fields of an incident are cut into the values that a profile counts."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from crimeguard.ingest.table import Ints

# First day of each part of a month: identity theft, dated by its bills, piles up on the
# first three days and is still higher than usual for a week.
MONTH_PARTS: Final = (1, 4, 11)
# Placeholder times are values of their own: noon and 00:01 stand for "not known".
PLACEHOLDERS: Final = {1200: 24, 1: 25}
SLOTS: Final = 26
# First age of each band, first day of each span of days until the report.
AGE_BANDS: Final = (1, 13, 18, 21, 25, 30, 35, 40, 45, 50, 55, 60, 65, 75)
OLDEST: Final = 99
DELAYS: Final = (0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 15, 22, 31, 46, 61, 91, 181, 366)
LONGEST: Final = 730
SEXES: Final = ("", "F", "M", "X")
PATTERNS: Final = len(SEXES) * 6


def coded(values: pl.Series, vocabulary: tuple[int, ...] | tuple[str, ...]) -> Ints:
    """Return each value's position in the vocabulary, -1 where it has none."""
    places = {value: place for place, value in enumerate(vocabulary)}
    found = values.replace_strict(places, default=-1, return_dtype=pl.Int64)
    return found.fill_null(-1).to_numpy()


def slots(time_occ: pl.Series) -> Ints:
    """Return the hour, or 24 and 25 for the two placeholder times; -1 is unknown."""
    hour = (time_occ // 100).fill_null(-1).cast(pl.Int64).to_numpy().copy()
    for time, slot in PLACEHOLDERS.items():
        hour[(time_occ == time).fill_null(value=False).to_numpy()] = slot
    return np.asarray(hour, dtype=np.int64)


def minutes(time_occ: pl.Series) -> Ints:
    """Return the minute past the hour, -1 for placeholders and where it is unknown."""
    minute = (time_occ % 100).fill_null(-1).cast(pl.Int64).to_numpy()
    return np.where(slots(time_occ) < 24, minute, -1).astype(np.int64)


def bands(numbers: pl.Series, starts: tuple[int, ...]) -> Ints:
    """Return the band that each number falls in, -1 for null and for numbers below all."""
    plain = numbers.fill_null(-1).cast(pl.Int64).to_numpy()
    return np.asarray(np.searchsorted(np.array(starts), plain, side="right") - 1, dtype=np.int64)


def patterns(frame: pl.DataFrame) -> Ints:
    """Return which of the victim's fields are known, one number for all three together.

    Sex (blank, F, M, X) x descent (blank, X, a letter) x age (unknown, known).
    """
    sex = coded(frame["vict_sex"].fill_null(""), SEXES)
    descent = frame["vict_descent"].fill_null("")
    told = np.where((descent == "").to_numpy(), 0, np.where((descent == "X").to_numpy(), 1, 2))
    return np.asarray(sex * 6 + told * 2 + frame["vict_age"].is_not_null().to_numpy(), np.int64)


def vocabulary(values: pl.Series, fewest: int) -> tuple[int, ...]:
    """Return the values that occur at least `fewest` times, in order."""
    counts = values.drop_nulls().value_counts()
    return tuple(counts.filter(pl.col("count") >= fewest)[values.name].sort().to_list())
