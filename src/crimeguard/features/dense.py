"""The numeric matrix for the tree members: one column a field, one a frequent MO code."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class DenseTable:
    """The codes that the matrix knows: places for `CODED` fields, columns for MO codes."""

    places: dict[str, Ints]
    mo_codes: Ints

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
        for place, values in enumerate(self._fields(columns)):
            out[:, place] = values
        self._write_mo(columns, out[:, len(FIELDS) :])
        return out

    def _fields(self, columns: Columns) -> list[NDArray[Any]]:
        timed = columns.time_occ != MISSING
        hour, minute = np.divmod(columns.time_occ, 100)
        reported = columns.level >= int(InformationLevel.REPORT)
        return [
            np.where(timed, hour + minute / 60, np.nan),
            np.where(timed, minute, np.nan),
            columns.weekday,
            columns.day_of_month,
            columns.crossed,
            columns.lat,
            columns.lon,
            *(self._place(name, getattr(columns, name)) for name in CODED),
            _or_nan(columns.vict_age, MISSING),
            _or_nan(columns.vict_sex, MISSING),
            _or_nan(columns.vict_descent, MISSING),
            _or_nan(columns.delay, NO_DELAY),
            np.where(reported, np.diff(columns.mo_offsets), np.nan),
            columns.level,
        ]

    def _place(self, name: str, codes: Ints) -> NDArray[np.float64]:
        known = self.places[name]
        place = np.searchsorted(known, codes)
        seen = np.append(known, MISSING)[place] == codes
        return np.where(codes == MISSING, np.nan, np.where(seen, place, len(known)))

    def _write_mo(self, columns: Columns, out: Matrix) -> None:
        reported = columns.level >= int(InformationLevel.REPORT)
        out[:] = np.where(reported, np.float32(0), np.float32(np.nan))[:, None]
        column = np.searchsorted(self.mo_codes, columns.mo_values)
        known = np.append(self.mo_codes, MISSING)[column] == columns.mo_values
        row = np.repeat(np.arange(len(columns)), np.diff(columns.mo_offsets))
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


def _or_nan(values: Ints, missing: int) -> NDArray[np.float64]:
    return np.where(values == missing, np.nan, values)
