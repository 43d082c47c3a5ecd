"""Crossed one-hot features for the linear member, as keys in one 64-bit space.

A template names up to four atoms; its key packs their values by mixed radix, behind
the information level and the number of the template. Every level has keys of its own,
so what is learnt of a blank field at level `report` says nothing about a field that is
not known at level `call`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crimeguard.domain.level import InformationLevel
from crimeguard.features.columns import DESCENTS, MISSING, NO_DELAY, Columns, Ints

# Number of values an atom can take; every atom is >= 0, and 0 or the last is "missing".
RADIX: Final[dict[str, int]] = {
    "hour": 25, "shift": 9, "part_of_day": 7, "minute": 7, "placeholder": 3, "weekday": 7,
    "weekend": 2, "first_of_month": 2, "area": 10**6 + 1, "district": 10**6 + 1,
    "premise": 10**6 + 1, "crossed": 2, "sex": 4, "descent": 20, "no_victim": 4,
    "delay": 8, "age": 16, "weapon": 10**6 + 1, "mo_count": 9, "mo": 10**4, "mo_other": 10**4,
    "weapon_kind": 10**4 + 1, "premise_kind": 10**4 + 1,
}  # fmt: skip

_CALL, _VICTIM, _REPORT = InformationLevel
# The order is part of the key: add new templates at the end.
TEMPLATES: Final[tuple[tuple[InformationLevel, tuple[str, ...]], ...]] = (
    (_CALL, ()),
    (_CALL, ("hour",)),
    (_CALL, ("weekday",)),
    (_CALL, ("area",)),
    (_CALL, ("district",)),
    (_CALL, ("premise",)),
    (_CALL, ("minute",)),
    (_CALL, ("placeholder",)),
    (_CALL, ("first_of_month",)),
    (_CALL, ("crossed",)),
    (_CALL, ("shift", "weekend")),
    (_CALL, ("premise", "part_of_day")),
    (_CALL, ("premise", "area")),
    (_VICTIM, ("sex",)),
    (_VICTIM, ("descent",)),
    (_VICTIM, ("delay",)),
    (_VICTIM, ("age",)),
    (_VICTIM, ("sex", "age")),
    (_VICTIM, ("sex", "descent")),
    (_VICTIM, ("sex", "delay")),
    (_VICTIM, ("premise", "sex")),
    (_VICTIM, ("premise", "age")),
    (_VICTIM, ("premise", "delay")),
    (_VICTIM, ("premise", "sex", "no_victim")),
    (_VICTIM, ("part_of_day", "delay")),
    (_REPORT, ("weapon",)),
    (_REPORT, ("mo_count",)),
    (_REPORT, ("premise", "weapon")),
    (_REPORT, ("sex", "weapon")),
    (_REPORT, ("age", "weapon")),
    (_REPORT, ("mo",)),
    (_REPORT, ("mo", "weapon")),
    (_REPORT, ("mo", "premise")),
    (_REPORT, ("mo", "sex")),
    (_REPORT, ("mo", "age")),
    (_REPORT, ("mo", "mo_other")),
    (_REPORT, ("weapon_kind",)),
    (_REPORT, ("premise_kind",)),
    (_REPORT, ("mo", "weapon_kind")),
    (_REPORT, ("mo", "premise_kind")),
    (_REPORT, ("mo", "delay")),
    (_REPORT, ("mo", "mo_count")),
)
_BESIDE_MO: Final = sorted(
    {name for _, names in TEMPLATES if "mo" in names for name in names} - {"mo", "mo_other"}
)
_BLOCK: Final = 1 << 46  # above the largest packed key
_LEVELS: Final = len(InformationLevel)


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of n incidents, those of incident i at `offsets[i]:offsets[i + 1]`."""

    offsets: Ints
    values: Ints


def template_name(index: int) -> str:
    """Return a template in words, e.g. `premise x weapon`."""
    return " x ".join(TEMPLATES[index][1]) or "base rate"


def template_of(keys: Ints) -> NDArray[np.int64]:
    """Return the number of the template that made each key."""
    return keys // _BLOCK // _LEVELS


def level_of_key(keys: Ints) -> NDArray[np.int64]:
    """Return the information level that each key belongs to."""
    return keys // _BLOCK % _LEVELS


def crossed_keys(columns: Columns) -> Keys:
    """Make the keys of every incident, template after template."""
    atoms = _atoms(columns)
    flat_row, flat = _mo_atoms(columns, atoms)
    pair_row, pairs = _mo_pairs(columns)
    every = np.arange(len(columns))
    rows: list[Ints] = []
    keys: list[Ints] = []
    for index, (least, names) in enumerate(TEMPLATES):
        if "mo_other" in names:
            row, source = pair_row, pairs
        elif "mo" in names:
            row, source = flat_row, flat
        else:
            row, source = every, atoms
        packed = _pack(index, names, source, columns.level[row])
        known = columns.level[row] >= int(least)
        if known.all():
            rows.append(row)
            keys.append(packed)
        elif known.any():
            rows.append(row[known])
            keys.append(packed[known])
    row = np.concatenate(rows)
    order = np.argsort(row, kind="stable")
    counts = np.bincount(row, minlength=len(columns))
    return Keys(_offsets(counts), np.concatenate(keys)[order])


def _pack(index: int, names: tuple[str, ...], atoms: dict[str, Ints], level: Ints) -> Ints:
    packed = np.zeros(len(level), np.int64)
    for name in names:
        packed = packed * RADIX[name] + atoms[name]
    return (index * _LEVELS + level) * _BLOCK + packed


def _offsets(counts: NDArray[np.integer]) -> Ints:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _atoms(columns: Columns) -> dict[str, Ints]:
    timed = columns.time_occ != MISSING
    hour = np.where(timed, columns.time_occ // 100, 24)
    weekday = columns.weekday
    return {
        "hour": hour,
        "shift": hour // 3,
        "part_of_day": hour // 4,
        "minute": np.where(timed, _minute_kind(columns.time_occ % 100), 6),
        # Clerks write noon or one past midnight for a time that nobody knows.
        "placeholder": np.where(columns.time_occ == 1200, 1, np.where(columns.time_occ == 1, 2, 0)),
        "weekday": weekday,
        "weekend": (weekday > 4).astype(np.int64),
        "first_of_month": (columns.day_of_month == 1).astype(np.int64),
        "area": columns.area + 1,
        "district": columns.rpt_dist_no + 1,
        "premise": columns.premis_cd + 1,
        "crossed": columns.crossed,
        "sex": columns.vict_sex + 1,
        "descent": columns.vict_descent + 1,
        "no_victim": (columns.vict_descent == DESCENTS.index("X")) * 2 + (columns.vict_age < 0),
        "delay": _delay_band(columns.delay),
        "age": _age_band(columns.vict_age),
        "weapon": columns.weapon_used_cd + 1,
        "mo_count": np.minimum(np.diff(columns.mo_offsets), 8),
        # The tables number like with like by the hundred: firearms, blades; dwellings, shops.
        "weapon_kind": columns.weapon_used_cd // 100 + 1,
        "premise_kind": columns.premis_cd // 100 + 1,
    }


def _minute_kind(minute: Ints) -> Ints:
    """Full hour, one past, quarter, half, three quarters, any other: 0 to 5."""
    kind = np.full(minute.shape, 5, np.int64)
    for value, name in ((0, 0), (1, 1), (15, 2), (30, 3), (45, 4)):
        kind[minute == value] = name
    return kind


def _delay_band(delay: Ints) -> Ints:
    """Band days: the same, the next, to 3, 7, 30, 180, longer; 7 is unknown."""
    band = np.searchsorted(np.array([0, 1, 3, 7, 30, 180]), delay, side="left")
    return np.where(delay == NO_DELAY, 7, band).astype(np.int64)


def _age_band(age: Ints) -> Ints:
    """Three-year bands below 18, then decades; 0 is unknown."""
    bounds = np.array([0, 3, 6, 9, 12, 15, 18, 20, 30, 40, 50, 60, 70, 80])
    return np.where(age == MISSING, 0, np.searchsorted(bounds, age, side="right")).astype(np.int64)


def _mo_lists(columns: Columns) -> tuple[Ints, Ints]:
    """Return offsets and codes in which an empty set stands as the one code 0."""
    counts = np.diff(columns.mo_offsets)
    empty = counts == 0
    offsets = _offsets(np.where(empty, 1, counts))
    values = np.zeros(offsets[-1], np.int64)
    filled = np.repeat(~empty, np.where(empty, 1, counts))
    values[filled] = columns.mo_values
    return offsets, values


def _mo_atoms(columns: Columns, atoms: dict[str, Ints]) -> tuple[Ints, dict[str, Ints]]:
    offsets, values = _mo_lists(columns)
    row = np.repeat(np.arange(len(columns)), np.diff(offsets))
    return row, {"mo": values, **{name: atoms[name][row] for name in _BESIDE_MO}}


def _mo_pairs(columns: Columns) -> tuple[Ints, dict[str, Ints]]:
    """Return every unordered pair of an incident's codes once, the smaller code first."""
    counts = np.diff(columns.mo_offsets)
    place = np.arange(len(columns.mo_values)) - np.repeat(columns.mo_offsets[:-1], counts)
    later = np.repeat(counts, counts) - place - 1
    first = np.repeat(np.arange(len(columns.mo_values)), later)
    step = np.arange(len(first)) - np.repeat(_offsets(later)[:-1], later) + 1
    one, two = columns.mo_values[first], columns.mo_values[first + step]
    row = np.repeat(np.arange(len(columns)), counts)[first]
    return row, {"mo": np.minimum(one, two), "mo_other": np.maximum(one, two)}
