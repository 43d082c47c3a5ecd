"""Crossed one-hot features for the linear member, as keys in one 64-bit space.

A template names up to four atoms; its key packs their values by mixed radix, behind
the information level and the number of the template. Every level has keys of its own,
so what is learnt of a blank field at level `report` says nothing about a field that is
not known at level `call`.
"""

from __future__ import annotations

from collections.abc import Sequence
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
BLOCK: Final = 1 << 46  # above the largest packed key
_LEVELS: Final = len(InformationLevel)
_DELAYS: Final = np.array([0, 1, 3, 7, 30, 180])


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of n incidents, those of incident i at `offsets[i]:offsets[i + 1]`."""

    offsets: Ints
    values: Ints


def definitions() -> dict[str, Ints]:
    """Return templates and bands as arrays, for code that is not Python.

    A row of `templates`: the least level, 0 if no MO code is in it, 1 if each is, 2 if each
    pair of them; three places in ATOMS (behind the last: none); the number that every key
    begins with; the weights of the three atoms, and that of the (smaller) MO code. `times`
    and `ages` begin with what is missing; `delays` are the bounds of the bands.
    """
    rows = []
    for number, (least, names) in enumerate(TEMPLATES):
        kind, weights = _kind(names), _weights(number)
        single = {} if kind == 2 else {ATOMS.index(n): w for n, w in weights.items() if n in ATOMS}
        spare = 3 - len(single)
        level = least if kind == 0 else _REPORT
        rows.append([
            int(level), kind, *single, *[len(ATOMS)] * spare, number * _LEVELS * BLOCK,
            *single.values(), *[0] * spare, weights.get("mo", 0),
        ])  # fmt: skip
    return {"templates": np.array(rows, np.int64), "times": _TIMES.T, "ages": _AGES,
            "delays": _DELAYS}  # fmt: skip


def template_name(index: int) -> str:
    """Return a template in words, e.g. `premise x weapon`."""
    return " x ".join(TEMPLATES[index][1]) or "base rate"


def template_of(keys: Ints) -> NDArray[np.int64]:
    """Return the number of the template that made each key."""
    return keys // BLOCK // _LEVELS


def level_of_key(keys: Ints) -> NDArray[np.int64]:
    """Return the information level that each key belongs to."""
    return keys // BLOCK % _LEVELS


def crossed_keys(columns: Columns) -> Keys:
    """Make the keys of every incident, template after template."""
    level = columns.level
    counts = np.diff(columns.mo_offsets)
    reported = level >= int(_REPORT)
    # An empty set stands as the one code 0.
    alone = np.where(reported, np.maximum(counts, 1), 0)
    paired = counts * (counts - 1) // 2
    offsets = _offsets(_PLAIN_KEYS[level] + len(_WITH_MO) * alone + len(_PAIRS) * paired)
    packed = _SINGLE.pack(_atoms(columns, counts)) + _SINGLE.base(level)
    places = _SINGLE.places(offsets[:-1], alone, paired)
    out = np.empty(offsets[-1], np.int64)
    plain = len(_PLAIN)
    known = level >= _PLAIN_LEAST
    out[places[:plain][known]] = packed[:plain][known]
    if len(columns.mo_values) or reported.any():
        row, step = _steps(alone)
        codes = columns.mo_values
        if len(codes) < len(row):
            codes = np.zeros(len(row), np.int64)
            codes[np.repeat(counts > 0, alone)] = columns.mo_values
        out[places[plain:, row] + step] = packed[plain:, row] + codes * _MO_WEIGHTS
        if paired.any():
            _write_pairs(out, _PAIRED.places(offsets[:-1], alone, paired), columns, counts)
    return Keys(offsets, out)


class _Group:
    """Templates as arrays, so that one step makes the keys of all.

    A key is the sum of up to three atoms times their weights; the MO code is none of these.
    """

    def __init__(self, numbers: Sequence[int]) -> None:
        self.numbers = numbers
        kinds = range(3)
        self.before = np.array([[_before(n, kind) for kind in kinds] for n in numbers]).T[..., None]
        self.named = (np.array(numbers) * _LEVELS * BLOCK)[:, None]
        shape = (3, len(numbers))
        self.factors, self.weights = np.full(shape, -1), np.zeros((*shape, 1), np.int64)
        for column, number in enumerate(numbers):
            mine = [item for item in _weights(number).items() if item[0] in ATOMS]
            for row, (name, weight) in enumerate(mine):
                self.factors[row, column] = ATOMS.index(name)
                self.weights[row, column] = weight

    def pack(self, atoms: Ints) -> Ints:
        """Pack atoms, shape (atoms, n), into one number a template, shape (templates, n)."""
        one, two, three = self.factors
        packed: Ints = atoms[one] * self.weights[0]
        packed += atoms[two] * self.weights[1]
        packed += atoms[three] * self.weights[2]
        return packed

    def base(self, level: Ints) -> Ints:
        """Return the part of a key that names template and level, shape (templates, n)."""
        based: Ints = self.named + level * BLOCK
        return based

    def places(self, start: Ints, alone: Ints, paired: Ints) -> Ints:
        """Return where the first key of each template goes, shape (templates, n).

        `start` is the first place of each incident; `alone` and `paired` say how many keys
        a template of MO codes and one of pairs of them make.
        """
        plain, mo, pairs = self.before
        first: Ints = start + plain + mo * alone + pairs * paired
        return first


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


def _of_kind(kind: int) -> list[int]:
    return [n for n, (_, names) in enumerate(TEMPLATES) if _kind(names) == kind]


def _steps(counts: Ints) -> tuple[Ints, Ints]:
    """Return, for `counts` things an incident, whose each is and its place among those."""
    row = np.repeat(np.arange(len(counts)), counts)
    return row, np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)


def _write_pairs(out: Ints, places: Ints, columns: Columns, counts: Ints) -> None:
    """Write every unordered pair of an incident's codes once, the smaller code first."""
    row, step = _steps(counts)
    first, ahead = _steps(counts[row] - step - 1)
    mine = row[first]
    within = np.arange(len(first)) - _offsets(counts * (counts - 1) // 2)[mine]
    one, two = columns.mo_values[first], columns.mo_values[first + ahead + 1]
    packed = np.minimum(one, two) * _PAIR_WEIGHTS + np.maximum(one, two)
    out[places[:, mine] + within] = packed + _PAIRED.base(_REPORT_ALONE)


def _offsets(counts: NDArray[np.integer]) -> Ints:
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def _atoms(columns: Columns, counts: Ints) -> Ints:
    """Return what the incidents are to the templates, shape (atoms + 1, n), in order of ATOMS.

    `counts` is the number of MO codes. The last row, zeros, is for the factors that a
    template does not have.
    """
    atoms = np.empty((len(ATOMS) + 1, len(columns)), np.int64)
    atoms[:5] = _TIMES.take(columns.time_occ + 1, axis=1, mode="clip")
    weekday = columns.weekday
    descent = columns.vict_descent
    rows = (
        weekday,
        weekday > 4,
        columns.day_of_month == 1,
        columns.area + 1,
        columns.rpt_dist_no + 1,
        columns.premis_cd + 1,
        columns.crossed,
        columns.vict_sex + 1,
        descent + 1,
        (descent == _NO_PERSON) * 2 + (columns.vict_age < 0),
        _delay_band(columns.delay),
        _AGES.take(columns.vict_age + 1, mode="clip"),
        columns.weapon_used_cd + 1,
        np.minimum(counts, 8),
        # The tables number like with like by the hundred: firearms, blades; dwellings, shops.
        columns.weapon_used_cd // 100 + 1,
        columns.premis_cd // 100 + 1,
        0,
    )
    for place, values in enumerate(rows, 5):
        atoms[place] = values
    return atoms


def _of_time(time: Ints) -> Ints:
    """Return the five atoms that a time of day, HHMM or missing, tells, shape (5, n)."""
    timed = time != MISSING
    hour = np.where(timed, time // 100, 24)
    minute = np.where(timed, _minute_kind(time % 100), 6)
    # Clerks write noon or one past midnight for a time that nobody knows.
    placeholder = np.where(time == 1200, 1, np.where(time == 1, 2, 0))
    return np.stack([hour, hour // 3, hour // 4, minute, placeholder])


def _minute_kind(minute: Ints) -> Ints:
    """Full hour, one past, quarter, half, three quarters, any other: 0 to 5."""
    kind = np.full(minute.shape, 5, np.int64)
    for value, name in ((0, 0), (1, 1), (15, 2), (30, 3), (45, 4)):
        kind[minute == value] = name
    return kind


def _delay_band(delay: Ints) -> Ints:
    """Band days: the same, the next, to 3, 7, 30, 180, longer; 7 is unknown."""
    band = np.searchsorted(_DELAYS, delay, side="left")
    band[delay == NO_DELAY] = 7
    return band


def _age_band(age: Ints) -> Ints:
    """Three-year bands below 18, then decades; 0 is unknown."""
    bounds = np.array([0, 3, 6, 9, 12, 15, 18, 20, 30, 40, 50, 60, 70, 80])
    return np.where(age == MISSING, 0, np.searchsorted(bounds, age, side="right")).astype(np.int64)


def _column(name: str, numbers: Sequence[int]) -> Ints:
    """Return what an atom is multiplied with in each of the templates, shape (templates, 1)."""
    return np.array([_weights(number)[name] for number in numbers], np.int64)[:, None]


ATOMS: Final = tuple(name for name in RADIX if name not in ("mo", "mo_other"))
_REPORT_ALONE: Final = np.array([int(_REPORT)])
_NO_PERSON: Final = DESCENTS.index("X")
# By a time or an age and one more, so that what is missing comes first.
_TIMES: Final = _of_time(np.arange(MISSING, 2360))
_AGES: Final = _age_band(np.arange(MISSING, 131))
_PLAIN, _WITH_MO, _PAIRS = _of_kind(0), _of_kind(1), _of_kind(2)
_SINGLE, _PAIRED = _Group([*_PLAIN, *_WITH_MO]), _Group(_PAIRS)
_MO_WEIGHTS, _PAIR_WEIGHTS = _column("mo", _WITH_MO), _column("mo", _PAIRS)
_PLAIN_LEAST: Final = np.array([[int(TEMPLATES[number][0])] for number in _PLAIN])
# Of an incident at each level.
_PLAIN_KEYS: Final = np.array([np.count_nonzero(n >= _PLAIN_LEAST) for n in range(_LEVELS)])
