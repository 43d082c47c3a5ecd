"""The numeric matrix for the tree members: one column a field, one a frequent MO code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from crimeguard.domain.level import InformationLevel
from crimeguard.features.columns import MISSING, NO_DELAY, Columns, Ints

Matrix = NDArray[np.float32]

# Codes become places in the sorted table of codes seen in training; a code that was
# never seen gets a place of its own behind them, a missing one NaN.
CODED: Final = ("area", "rpt_dist_no", "premis_cd", "weapon_used_cd")
FIELDS: Final = (
    "hour", "minute", "weekday", "day_of_month", "crossed", "lat", "lon", *CODED,
    "vict_age", "vict_sex", "vict_descent", "delay", "mo_count", "level",
)  # fmt: skip


_AT: Final = {name: place for place, name in enumerate(FIELDS)}
_CODES: Final = slice(_AT[CODED[0]], _AT[CODED[-1]] + 1)
_VICTIM: Final = slice(_AT["vict_age"], _AT["vict_descent"] + 1)
APART: Final = 1 << 32  # between the codes of one field and of the next
_BASES: Final = np.arange(len(CODED))[:, None] * APART


@dataclass(frozen=True, slots=True)
class DenseTable:
    """The codes that the matrix knows: places for `CODED` fields, columns for MO codes.

    `codes` are the codes of all fields one behind the other, those of a field `APART` from
    the next's, and a last one that nothing is; `starts` and `sizes`, shape (fields, 1), say
    where the codes of each field stand, and how many there are.
    """

    places: dict[str, Ints]
    mo_codes: Ints
    codes: Ints = field(init=False, repr=False)
    starts: Ints = field(init=False, repr=False)
    sizes: Ints = field(init=False, repr=False)

    def __post_init__(self) -> None:
        mine = [self.places[name] for name in CODED]
        sizes = np.array([len(codes) for codes in mine])[:, None]
        codes = np.concatenate([one + base for one, base in zip(mine, _BASES, strict=True)])
        object.__setattr__(self, "codes", np.append(codes, -APART))
        object.__setattr__(self, "starts", np.cumsum(sizes, axis=0) - sizes)
        object.__setattr__(self, "sizes", sizes)

    @classmethod
    def fit(cls, columns: Columns, *, min_count: int, mo_columns: int) -> DenseTable:
        """Learn the tables from training incidents; codes seen less often count as unseen."""
        places = {}
        for name in CODED:
            codes, counts = np.unique(getattr(columns, name), return_counts=True)
            places[name] = codes[(counts >= min_count) & (codes != MISSING)]
        codes, counts = np.unique(columns.mo_values, return_counts=True)
        most = np.argsort(-counts, kind="stable")[:mo_columns]
        return cls(places, np.sort(codes[most]))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of the matrix, in order."""
        return (*FIELDS, *(f"mo_{code:04d}" for code in self.mo_codes))

    def matrix(self, columns: Columns) -> Matrix:
        """Return the float32 matrix of shape (n, len(names)); NaN is missing."""
        out = np.empty((len(columns), len(FIELDS) + len(self.mo_codes)), np.float32)
        counts = np.diff(columns.mo_offsets)
        reported = columns.level >= int(InformationLevel.REPORT)
        out[:, :2] = CLOCK.take(columns.time_occ + 1, axis=0, mode="clip")
        out[:, _AT["weekday"]] = columns.weekday
        out[:, _AT["day_of_month"]] = columns.day_of_month
        out[:, _AT["crossed"]] = columns.crossed
        out[:, _AT["lat"]] = columns.lat
        out[:, _AT["lon"]] = columns.lon
        out[:, _CODES] = self._places(columns).T
        victim = np.array((columns.vict_age, columns.vict_sex, columns.vict_descent))
        out[:, _VICTIM] = np.where(victim == MISSING, np.nan, victim).T
        out[:, _AT["delay"]] = np.where(columns.delay == NO_DELAY, np.nan, columns.delay)
        out[:, _AT["mo_count"]] = np.where(reported, counts, np.nan)
        out[:, _AT["level"]] = columns.level
        out[:, len(FIELDS) :] = np.where(reported, np.float32(0), np.float32(np.nan))[:, None]
        self._write_mo(columns.mo_values, counts, out[:, len(FIELDS) :])
        return out

    def _places(self, columns: Columns) -> NDArray[np.float64]:
        """Return the place of each coded field's code, shape (fields, n)."""
        codes = np.array([getattr(columns, name) for name in CODED])
        wanted = codes + _BASES
        place = self.codes[:-1].searchsorted(wanted)
        seen = self.codes[place] == wanted
        known = np.where(seen, place - self.starts, self.sizes)
        return np.where(codes == MISSING, np.nan, known)

    def _write_mo(self, values: Ints, counts: Ints, out: Matrix) -> None:
        if not (len(values) and len(self.mo_codes)):
            return
        column = self.mo_codes.searchsorted(values)
        known = self.mo_codes.take(column, mode="clip") == values
        row = np.repeat(np.arange(len(counts)), counts)
        out[row[known], column[known]] = 1

    def to_json(self) -> dict[str, Any]:
        """Return the tables as JSON-able lists."""
        return {
            "places": {name: codes.tolist() for name, codes in self.places.items()},
            "mo_codes": self.mo_codes.tolist(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> DenseTable:
        """Read what `to_json` wrote."""
        places = {name: np.array(data["places"][name], np.int64) for name in CODED}
        return cls(places, np.array(data["mo_codes"], np.int64))


def _of_time(time: Ints) -> NDArray[np.float32]:
    """Return the hour with its fraction and the minute of times HHMM, shape (n, 2)."""
    hour, minute = np.divmod(time, 100)
    told = np.stack([hour + minute / 60, minute], axis=1)
    return np.where((time == MISSING)[:, None], np.nan, told).astype(np.float32)


# By a time and one more, so that what is missing comes first.
CLOCK: Final = _of_time(np.arange(MISSING, 2360))
