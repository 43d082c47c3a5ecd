"""Crossed one-hot features for the linear member, as keys in one 64-bit space.

A template names up to four atoms; its key packs their values by mixed radix, behind
the information level and the number of the template. Every level has keys of its own,
so what is learnt of a blank field at level `report` says nothing about a field that is
not known at level `call`.
"""

from __future__ import annotations

from collections.abc import Iterable
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
    level = columns.level
    codes = np.diff(columns.mo_offsets)
    reported = level >= int(_REPORT)
    # An empty set stands as the one code 0.
    alone = np.where(reported, np.maximum(codes, 1), 0)
    paired = np.where(reported, codes * (codes - 1) // 2, 0)
    offsets = _offsets(_PLAIN_KEYS[level] + len(_WITH_MO) * alone + len(_PAIRED) * paired)
    places = _Places(offsets[:-1], alone, paired)
    out = np.empty(offsets[-1], np.int64)
    # One row more for the factors that a template does not have.
    atoms = np.stack([*_atoms(columns).values(), np.zeros_like(level)])
    _write_plain(out, places, atoms, level)
    if reported.any():
        beside = _WITH_MO.pack(atoms) + _WITH_MO.base(level)
        _write_mo(out, places, beside, *_mo_codes(columns, alone))
        _write_pairs(out, places, *_mo_pairs(columns))
    return Keys(offsets, out)


@dataclass(frozen=True, slots=True)
class _Places:
    """Where an incident's keys go: its first place, and how many keys a template makes."""

    start: Ints
    alone: Ints
    paired: Ints

    def of(self, group: _Group) -> Ints:
        """Return the place of the first key of each template, shape (templates, n)."""
        places: Ints = (
            self.start + group.plain_before + group.mo_before * self.alone
            + group.pairs_before * self.paired
        )  # fmt: skip
        return places


class _Group:
    """The templates of one kind, as arrays, so that one step makes the keys of all.

    All but `factors` and `weights` have shape (templates, 1). A key is the sum of up to
    three atoms times their weights; the MO code is none of these.
    """

    def __init__(self, kind: int) -> None:
        self.numbers = [n for n, (_, names) in enumerate(TEMPLATES) if _kind(names) == kind]
        self.least = _column(int(TEMPLATES[number][0]) for number in self.numbers)
        self.plain_before = _column(_before(number, 0) for number in self.numbers)
        self.mo_before = _column(_before(number, 1) for number in self.numbers)
        self.pairs_before = _column(_before(number, 2) for number in self.numbers)
        self.mo_weight = _column(_weights(number).get("mo", 0) for number in self.numbers)
        shape = (3, len(self.numbers))
        self.factors, self.weights = np.full(shape, -1), np.zeros((*shape, 1), np.int64)
        for column, number in enumerate(self.numbers):
            mine = [item for item in _weights(number).items() if item[0] in _ATOMS]
            for row, (name, weight) in enumerate(mine):
                self.factors[row, column] = _ATOMS.index(name)
                self.weights[row, column] = weight

    def __len__(self) -> int:
        return len(self.numbers)

    def pack(self, atoms: Ints) -> Ints:
        """Pack atoms, shape (atoms, n), into one number a template, shape (templates, n)."""
        one, two, three = self.factors
        packed: Ints = (
            atoms[one] * self.weights[0] + atoms[two] * self.weights[1]
            + atoms[three] * self.weights[2]
        )  # fmt: skip
        return packed

    def base(self, level: Ints) -> Ints:
        """Return the part of a key that names template and level, shape (templates, n)."""
        based: Ints = (np.array(self.numbers)[:, None] * _LEVELS + level) * _BLOCK
        return based


def _kind(names: tuple[str, ...]) -> int:
    """0: no MO code, 1: each MO code, 2: each pair of them."""
    return ("mo" in names) + ("mo_other" in names)


def _before(number: int, kind: int) -> int:
    return sum(_kind(names) == kind for _, names in TEMPLATES[:number])


def _weights(number: int) -> dict[str, int]:
    """Return what each atom of a template is multiplied with: mixed radix."""
    weights, weight = {}, 1
    for name in reversed(TEMPLATES[number][1]):
        weights[name] = weight
        weight *= RADIX[name]
    return weights


def _column(numbers: Iterable[int]) -> Ints:
    return np.fromiter(numbers, np.int64)[:, None]


_ATOMS: Final = tuple(name for name in RADIX if name not in ("mo", "mo_other"))
_PLAIN, _WITH_MO, _PAIRED = _Group(0), _Group(1), _Group(2)
# Of an incident at each level.
_PLAIN_KEYS: Final = np.array([np.count_nonzero(_PLAIN.least <= n) for n in range(_LEVELS)])


def _write_plain(out: Ints, places: _Places, atoms: Ints, level: Ints) -> None:
    keys, where = _PLAIN.pack(atoms) + _PLAIN.base(level), places.of(_PLAIN)
    known = _PLAIN.least <= level
    if known.all():
        out[where] = keys
    else:
        out[where[known]] = keys[known]


def _write_mo(
    out: Ints, places: _Places, beside: Ints, row: Ints, step: Ints, codes: Ints
) -> None:  # fmt: skip
    """Write each MO code with what stands beside it; `step` counts the codes of an incident."""
    out[places.of(_WITH_MO)[:, row] + step] = beside[:, row] + codes * _WITH_MO.mo_weight


def _write_pairs(
    out: Ints, places: _Places, row: Ints, step: Ints, smaller: Ints, larger: Ints
) -> None:  # fmt: skip
    base = _PAIRED.base(np.full(len(row), int(_REPORT)))
    out[places.of(_PAIRED)[:, row] + step] = base + smaller * _PAIRED.mo_weight + larger


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


def _mo_codes(columns: Columns, alone: Ints) -> tuple[Ints, Ints, Ints]:
    """Return incident, place within it, and code of every MO code; `alone` says how many."""
    row = np.repeat(np.arange(len(columns)), alone)
    step = np.arange(len(row)) - np.repeat(_offsets(alone)[:-1], alone)
    codes = np.zeros(len(row), np.int64)
    codes[np.repeat(np.diff(columns.mo_offsets) > 0, alone)] = columns.mo_values
    return row, step, codes


def _mo_pairs(columns: Columns) -> tuple[Ints, Ints, Ints, Ints]:
    """Return every unordered pair of an incident's codes once, the smaller code first.

    That is incident, place within it, smaller and larger code of each pair.
    """
    counts = np.diff(columns.mo_offsets)
    place = np.arange(len(columns.mo_values)) - np.repeat(columns.mo_offsets[:-1], counts)
    later = np.repeat(counts, counts) - place - 1
    first = np.repeat(np.arange(len(columns.mo_values)), later)
    ahead = np.arange(len(first)) - np.repeat(_offsets(later)[:-1], later) + 1
    one, two = columns.mo_values[first], columns.mo_values[first + ahead]
    row = np.repeat(np.arange(len(columns)), counts)[first]
    pairs = counts * (counts - 1) // 2
    step = np.arange(len(row)) - np.repeat(_offsets(pairs)[:-1], pairs)
    return row, step, np.minimum(one, two), np.maximum(one, two)
