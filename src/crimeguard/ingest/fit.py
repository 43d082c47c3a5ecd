"""Fitting a statistical profile: from incidents to counts of at least five."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crimeguard.domain.codes import crime_codes
from crimeguard.ingest import coding
from crimeguard.ingest.mixture import latent_classes
from crimeguard.ingest.table import FEWEST, Counts, Ints, Levels, cross

Depth = Literal["class", "pool", "all"]

# A crime code with fewer incidents shares one pool with the rare codes of its category.
RARE: Final = 40
# Found on January (fitted) and February (scored) 2023: see benchmarks/realism.py.
ROWS_PER_CLASS: Final = 160
MOST_CLASSES: Final = 60
FEWEST_IN_CLASS: Final = 25
_SEED: Final = 20230101
# What a profile is fitted on: texts are not, and no row's number or address.
USED: Final = (
    "date_rptd", "date_occ", "time_occ", "area", "rpt_dist_no", "crm_cd", "mocodes",
    "vict_age", "vict_sex", "vict_descent", "premis_cd", "weapon_used_cd", "status",
    "crm_cd_2", "crm_cd_3", "crm_cd_4", "lat", "lon",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One coded field: its values, each incident's value (-1 unknown), how it is counted.

    `weight` is how much it counts in finding latent classes, 0 for not at all.
    """

    values: tuple[Any, ...]
    coded: Ints
    depth: Depth
    weight: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Sets:
    """The MO codes as pairs of incident and member, by the members' positions."""

    values: tuple[int, ...]
    rows: Ints
    members: Ints

    def matrix(self, rows: Ints, total: int) -> NDArray[np.bool_]:
        """Return incidents x members for some incidents, members rare among them left out."""
        place = np.full(total, -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        here = place[self.rows] >= 0
        matrix = np.zeros((len(rows), len(self.values)), dtype=bool)
        matrix[place[self.rows[here]], self.members[here]] = True
        return matrix[:, matrix.sum(axis=0) >= FEWEST]


def code_columns(frame: pl.DataFrame) -> dict[str, Column]:
    """Cut the fields of canonical incidents into the values that are counted."""
    part = coding.bands(frame["date_occ"].dt.day(), coding.MONTH_PARTS)
    weekday = (frame["date_occ"].dt.weekday().cast(pl.Int64) - 1).to_numpy()
    delay = (frame["date_rptd"] - frame["date_occ"]).dt.total_days()
    has_mo = (frame["mocodes"].list.len() > 0).fill_null(value=False).cast(pl.Int64).to_numpy()
    return {
        "slot": Column(tuple(range(coding.SLOTS)), coding.slots(frame["time_occ"]), "class", 0.5),
        "minute": Column(tuple(range(60)), coding.minutes(frame["time_occ"]), "pool"),
        "weekday": Column(tuple(range(7)), weekday, "class"),
        "part": Column(tuple(range(len(coding.MONTH_PARTS))), part, "class"),
        "delay": Column(
            tuple(range(len(coding.DELAYS))), coding.bands(delay, coding.DELAYS), "class", 0.5
        ),
        "victim": Column(
            tuple(range(coding.PATTERNS)), coding.patterns(frame), "class", 1.0
        ),
        "band": Column(
            tuple(range(len(coding.AGE_BANDS))),
            coding.bands(frame["vict_age"], coding.AGE_BANDS), "class", 0.5,
        ),
        "has_mo": Column((0, 1), has_mo, "class", 1.0),
        "premise": _codes(frame["premis_cd"], "class", 1.0),
        "weapon": _codes(frame["weapon_used_cd"], "class", 1.0),
        "area": _codes(frame["area"], "class", 0.3, blank=False),
        "second": _codes(frame["crm_cd_2"], "pool"),
        "third": _codes(_where(frame, "crm_cd_3", "crm_cd_2"), "all"),
        "fourth": _codes(_where(frame, "crm_cd_4", "crm_cd_3"), "all"),
        "status": _letters(frame["status"], "pool"),
        "descent": _letters(frame["vict_descent"].replace("X", None), "class", 0.5),
    }  # fmt: skip


def _where(frame: pl.DataFrame, name: str, given: str) -> pl.Series:
    """Return a secondary code where the one before it is there; 0 is blank, null not asked."""
    value = pl.when(pl.col(given).is_not_null()).then(pl.col(name).fill_null(0))
    return frame.select(value.alias(name))[name]


def _codes(values: pl.Series, depth: Depth, weight: float = 0.0, *, blank: bool = True) -> Column:
    """Code a numeric field; a blank is a value of its own, written 0, unless it is unknown."""
    asked = values if values.name in ("crm_cd_3", "crm_cd_4") or not blank else values.fill_null(0)
    words = coding.vocabulary(asked, FEWEST) or (0,)
    return Column(words, coding.coded(asked, words), depth, weight)


def _letters(values: pl.Series, depth: Depth, weight: float = 0.0) -> Column:
    words = coding.vocabulary(values, FEWEST)
    return Column(words, coding.coded(values, words), depth, weight)


def code_sets(frame: pl.DataFrame) -> Sets:
    """Cut the MO codes into pairs of incident and code."""
    pairs = frame.select(pl.int_range(pl.len()).alias("row"), "mocodes").explode(
        "mocodes", empty_as_null=True
    )
    pairs = pairs.drop_nulls()
    words = coding.vocabulary(pairs["mocodes"].cast(pl.Int64), FEWEST)
    members = coding.coded(pairs["mocodes"].cast(pl.Int64), words)
    known = members >= 0
    return Sets(words, pairs["row"].cast(pl.Int64).to_numpy()[known], members[known])


def pools(categories: Ints, counts: Ints) -> tuple[list[list[int]], Ints]:
    """Put crime codes that occur often in pools of their own, rare ones together by category.

    Rare codes that are too few even together join the least common other of their
    category. Returns the codes of each pool and the pool of each code, by positions.
    """
    codes = np.arange(len(counts))
    members: list[list[int]] = [[int(code)] for code in codes[counts >= RARE]]
    for category in np.unique(categories):
        rare = codes[(categories == category) & (counts < RARE)]
        common = [pool for pool in members if len(pool) == 1 and categories[pool[0]] == category]
        if counts[rare].sum() < FEWEST_IN_CLASS and common:
            min(common, key=lambda pool: counts[pool[0]]).extend(rare.tolist())
        elif len(rare):
            members.append(rare.tolist())
    pool_of = np.zeros(len(codes), dtype=np.int64)
    for pool, inside in enumerate(members):
        pool_of[inside] = pool
    return members, pool_of


def assign_classes(
    columns: dict[str, Column],
    sets: Sets,
    pool_of_row: Ints,
    pool_count: int,
    on_progress: Callable[[int], None] | None = None,
) -> tuple[Ints, Ints]:
    """Find the latent classes of every pool; return each row's class and each class's pool.

    A pool without incidents gets one empty class, so that its codes can occur at all.
    """
    class_of_row = np.zeros(len(pool_of_row), dtype=np.int64)
    pool_of: list[int] = []
    order = np.argsort(pool_of_row, kind="stable")
    sizes = np.bincount(pool_of_row, minlength=pool_count)
    for pool, rows in enumerate(np.split(order, np.cumsum(sizes)[:-1])):
        if not len(rows):
            pool_of.append(pool)
        else:
            wanted = min(MOST_CLASSES, len(rows) // ROWS_PER_CLASS)
            found = latent_classes(
                [(c.coded[rows], c.weight) for c in columns.values() if c.weight],
                sets.matrix(rows, len(pool_of_row)),
                classes=wanted, fewest=FEWEST_IN_CLASS,
                rng=np.random.Generator(np.random.PCG64([_SEED, pool])),
            )  # fmt: skip
            class_of_row[rows] = found + len(pool_of)
            pool_of += [pool] * (int(found.max()) + 1)
        if on_progress:
            on_progress(len(rows))
    return class_of_row, np.array(pool_of, dtype=np.int64)


def count_levels(column: Column, class_of_row: Ints, pool_of: Ints, pool_count: int) -> Levels:
    """Count one field by class, pool and overall, as deep as it is to be kept."""
    width = len(column.values)
    by_class = cross(class_of_row, column.coded, (len(pool_of), width))
    by_pool = np.zeros((pool_count, width), dtype=np.int64)
    np.add.at(by_pool, pool_of, by_class)
    return _levels(column.values, by_class, by_pool, column.depth)


def count_sets(sets: Sets, class_of_row: Ints, pool_of: Ints, pool_count: int) -> Levels:
    """Count in how many incidents each MO code occurs, by class, pool and overall."""
    by_class = cross(class_of_row[sets.rows], sets.members, (len(pool_of), len(sets.values)))
    by_pool = np.zeros((pool_count, len(sets.values)), dtype=np.int64)
    np.add.at(by_pool, pool_of, by_class)
    return _levels(sets.values, by_class, by_pool, "class")


def _levels(values: tuple[Any, ...], by_class: Ints, by_pool: Ints, depth: Depth) -> Levels:
    return Levels(
        values,
        Counts.merged(by_class) if depth == "class" else None,
        Counts.merged(by_pool) if depth != "all" else None,
        Counts.merged(by_pool.sum(axis=0, keepdims=True)),
    )


def code_positions() -> dict[int, int]:
    """Return the position of every crime code in the package's table."""
    return {code: place for place, code in enumerate(sorted(crime_codes()))}
