"""Incidents as plain arrays: the one form that every path brings to the featurizer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crimeguard.domain.incident import Incident
from crimeguard.domain.level import REPORT_FIELDS, VICTIM_FIELDS, InformationLevel, level_of

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MISSING: Final = -1
SEXES: Final = ("F", "M", "X")
DESCENTS: Final = tuple("ABCDFGHIJKLOPSUVWXZ")
NO_DELAY: Final = -(10**6)  # days; a report may precede its incident by a slip, never so far
_EPOCH: Final = dt.date(1970, 1, 1).toordinal()
_SEX_AT: Final[dict[str | None, int]] = {letter: place for place, letter in enumerate(SEXES)}
_DESCENT_AT: Final[dict[str | None, int]] = {letter: place for place, letter in enumerate(DESCENTS)}
_WHOLE: Final = (
    "level", "day", "time_occ", "area", "rpt_dist_no", "premis_cd", "crossed", "vict_age",
    "vict_sex", "vict_descent", "delay", "weapon_used_cd",
)  # fmt: skip
_CALL, _VICTIM, _REPORT = InformationLevel
_NUMBERS: Final = ("time_occ", "area", "rpt_dist_no", "premis_cd", "weapon_used_cd", "vict_age")


@dataclass(frozen=True, slots=True)
class Columns:
    """`n` incidents as arrays of length n; whole numbers with -1 for missing.

    `day` counts days since 1970-01-01, `delay` days from occurrence to report
    (`NO_DELAY` if unknown), `time_occ` is HHMM, `lat` and `lon` are degrees with NaN
    for unknown, `crossed` is 1 where a cross street is given. `mo_values` holds every
    incident's MO codes one behind the other; those of incident i stand at
    `mo_offsets[i]:mo_offsets[i + 1]`.
    """

    level: Ints
    day: Ints
    time_occ: Ints
    area: Ints
    rpt_dist_no: Ints
    premis_cd: Ints
    crossed: Ints
    lat: Floats
    lon: Floats
    vict_age: Ints
    vict_sex: Ints
    vict_descent: Ints
    delay: Ints
    weapon_used_cd: Ints
    mo_offsets: Ints
    mo_values: Ints

    def __len__(self) -> int:
        return len(self.level)

    @property
    def weekday(self) -> Ints:
        """Day of the week of the occurrence, Monday is 0."""
        return (self.day + 3) % 7  # 1970-01-01 was a Thursday

    @property
    def day_of_month(self) -> Ints:
        """Day of the month of the occurrence, 1 to 31."""
        dates = self.day.astype("datetime64[D]")
        of_month: Ints = (dates - dates.astype("datetime64[M]")).astype(np.int64) + 1
        return of_month

    @classmethod
    def from_incidents(cls, incidents: Sequence[Incident]) -> Columns:
        """Lay out incidents that came one by one."""
        # One array for all whole numbers: a call of NumPy costs what ten incidents cost.
        table = np.array([_whole(item) for item in incidents], np.int64)
        whole = np.ascontiguousarray(table.reshape(-1, len(_WHOLE)).T)
        codes = [item.mocodes if item.level >= _REPORT else () for item in incidents]
        return cls(
            lat=np.array([np.nan if i.lat is None else i.lat for i in incidents], np.float64),
            lon=np.array([np.nan if i.lon is None else i.lon for i in incidents], np.float64),
            mo_offsets=np.array([0, *accumulate(map(len, codes))], np.int64),
            mo_values=np.array([code for mine in codes for code in mine], np.int64),
            **dict(zip(_WHOLE, whole, strict=True)),
        )

    @classmethod
    def from_frame(cls, frame: pl.DataFrame, *, level: InformationLevel | None = None) -> Columns:
        """Lay out a canonical frame; its level is told by its columns unless `level` hides more."""
        known = level_of(frame.columns)
        known = known if level is None else min(level, known)
        rows = frame.height
        frame = frame.with_columns(
            pl.lit(None, dtype).alias(name)
            for name, dtype in _FRAME_FIELDS.items()
            if name not in frame.columns
        )
        codes = frame["mocodes"].fill_null([])
        day = frame["date_occ"].cast(pl.Int32)
        delay = frame["date_rptd"].cast(pl.Int32) - day
        return cls(
            level=np.full(rows, int(known), np.int64),
            day=day.cast(pl.Int64).to_numpy(),
            crossed=frame["cross_street"].is_not_null().cast(pl.Int64).to_numpy(),
            lat=frame["lat"].cast(pl.Float64).fill_null(np.nan).to_numpy(),
            lon=frame["lon"].cast(pl.Float64).fill_null(np.nan).to_numpy(),
            vict_sex=_index_series(frame["vict_sex"], SEXES),
            vict_descent=_index_series(frame["vict_descent"], DESCENTS),
            delay=delay.cast(pl.Int64).fill_null(NO_DELAY).to_numpy(),
            mo_offsets=np.concatenate([[0], codes.list.len().cum_sum().to_numpy()]).astype(
                np.int64
            ),
            mo_values=codes.explode(empty_as_null=False).cast(pl.Int64).to_numpy(),
            **{name: frame[name].cast(pl.Int64).fill_null(MISSING).to_numpy() for name in _NUMBERS},
        ).hidden_above_level()

    def at_level(self, level: InformationLevel) -> Columns:
        """Return the same incidents as they were known at `level` or below."""
        return replace(self, level=np.minimum(self.level, int(level))).hidden_above_level()

    def hidden_above_level(self) -> Columns:
        """Blank every field that an incident's level does not include."""
        no_victim = self.level < int(InformationLevel.VICTIM)
        no_report = self.level < int(InformationLevel.REPORT)
        if not no_report.any():
            return self
        counts = np.where(no_report, 0, np.diff(self.mo_offsets))
        kept = np.repeat(~no_report, np.diff(self.mo_offsets))
        return replace(
            self,
            vict_age=np.where(no_victim, MISSING, self.vict_age),
            vict_sex=np.where(no_victim, MISSING, self.vict_sex),
            vict_descent=np.where(no_victim, MISSING, self.vict_descent),
            delay=np.where(no_victim, NO_DELAY, self.delay),
            weapon_used_cd=np.where(no_report, MISSING, self.weapon_used_cd),
            mo_offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            mo_values=self.mo_values[kept],
        )

    def rows(self, start: int, stop: int) -> Columns:
        """Return incidents `start` to `stop` as views, without a copy of the arrays."""
        first, last = self.mo_offsets[start], self.mo_offsets[stop]
        parts = {
            name: getattr(self, name)[start:stop]
            for name in self.__slots__
            if name not in ("mo_offsets", "mo_values")
        }
        return Columns(
            **parts,
            mo_offsets=self.mo_offsets[start : stop + 1] - first,
            mo_values=self.mo_values[first:last],
        )

    def take(self, index: NDArray[np.integer]) -> Columns:
        """Return the incidents at the given positions, in that order."""
        counts = np.diff(self.mo_offsets)[index]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        starts = np.repeat(self.mo_offsets[index] - offsets[:-1], counts)
        parts = {
            name: getattr(self, name)[index]
            for name in self.__slots__
            if name not in ("mo_offsets", "mo_values")
        }
        return Columns(
            **parts,
            mo_offsets=offsets,
            mo_values=self.mo_values[starts + np.arange(len(starts))],
        )


def concatenate(parts: Sequence[Columns]) -> Columns:
    """Put several groups of incidents one behind the other."""
    merged = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in Columns.__slots__
        if name != "mo_offsets"
    }
    counts = np.concatenate([np.diff(part.mo_offsets) for part in parts])
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Columns(**merged, mo_offsets=offsets)


_FRAME_FIELDS: Final[dict[str, pl.DataType]] = {
    **{name: pl.Int32() for name in _NUMBERS},
    "cross_street": pl.String(),
    "lat": pl.Float64(),
    "lon": pl.Float64(),
    "vict_sex": pl.String(),
    "vict_descent": pl.String(),
    "date_rptd": pl.Date(),
    "mocodes": pl.List(pl.Int16()),
}
if not _FRAME_FIELDS.keys() >= (VICTIM_FIELDS | REPORT_FIELDS):  # pragma: no cover
    raise AssertionError("every field of a level has a column")


def _whole(incident: Incident) -> tuple[int, ...]:
    """Return the whole numbers of `_WHOLE`; what the level does not include is missing."""
    level = incident.level
    day = incident.date_occ.toordinal()
    reported = incident.date_rptd
    delay = NO_DELAY if reported is None else reported.toordinal() - day
    victim = (MISSING, MISSING, MISSING, NO_DELAY)
    if level >= _VICTIM:
        # A letter that no table knows counts as missing; repair lets none through.
        sex, descent = incident.vict_sex, incident.vict_descent
        victim = (_number(incident.vict_age), _SEX_AT.get(sex, MISSING),
                  _DESCENT_AT.get(descent, MISSING), delay)  # fmt: skip
    return (
        level, day - _EPOCH, _number(incident.time_occ), _number(incident.area),
        _number(incident.rpt_dist_no), _number(incident.premis_cd),
        incident.cross_street is not None, *victim,
        _number(incident.weapon_used_cd) if level >= _REPORT else MISSING,
    )  # fmt: skip


def _number(value: int | None) -> int:
    return MISSING if value is None else value


def _index_series(series: pl.Series, known: tuple[str, ...]) -> Ints:
    places = {letter: place for place, letter in enumerate(known)}
    return series.replace_strict(places, default=MISSING, return_dtype=pl.Int64).to_numpy()
