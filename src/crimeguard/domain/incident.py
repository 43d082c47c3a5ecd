"""The canonical incident: what was reported, when, where."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from crimeguard.domain.errors import BadValue, DataError
from crimeguard.domain.field import BY_NAME, CANONICAL_NAMES, FORBIDDEN_FEATURES
from crimeguard.domain.level import InformationLevel, level_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """What may be known of one incident before its category is; None is unknown.

    Dates are calendar days, `time_occ` is HHMM, `lat` and `lon` are degrees (WGS 84),
    `vict_age` is in years, everything else is a code of the police's own tables.
    """

    date_occ: dt.date
    time_occ: int | None = None
    area: int | None = None
    rpt_dist_no: int | None = None
    premis_cd: int | None = None
    location: str | None = None
    cross_street: str | None = None
    lat: float | None = None
    lon: float | None = None
    date_rptd: dt.date | None = None
    vict_age: int | None = None
    vict_sex: str | None = None
    vict_descent: str | None = None
    weapon_used_cd: int | None = None
    mocodes: tuple[int, ...] = ()
    level: InformationLevel = InformationLevel.REPORT

    @classmethod
    def from_record(
        cls, record: Mapping[str, Any], *, level: InformationLevel | None = None, row: int = 1
    ) -> Incident:
        """Repair one raw record, keyed by export headings or by canonical names.

        The level is the highest of which a field is named, unless `level` hides more.
        Raises DataError that names every value which cannot be understood.
        """
        values, bad = repair_record(record, row=row)
        if bad or not _has_when_and_where(values):
            unreadable = {CANONICAL_NAMES[item.column] for item in bad}
            bad += _missing_when_or_where(values, unreadable, row)
        if bad:
            raise DataError("This incident cannot be read.", why="; ".join(map(str, bad)) + ".",
                            fix="Correct the values named, or leave optional ones out.",
                            bad=tuple(bad))  # fmt: skip
        known = level_of(values.keys())
        usable = {name: value for name, value in values.items() if name in _USABLE}
        return cls(**usable, level=known if level is None else min(level, known))


_PLACE = ("area", "rpt_dist_no", "lat", "lon")
_SHORT: Final = 40  # letters: codes, dates, degrees
INCIDENT_FIELDS = tuple(name for name in Incident.__dataclass_fields__ if name != "level")
_USABLE: Final = frozenset(INCIDENT_FIELDS)
if not FORBIDDEN_FEATURES.isdisjoint(INCIDENT_FIELDS):  # pragma: no cover
    raise AssertionError("an incident must not carry what the model may not see")


def repair_record(
    record: Mapping[str, Any], *, row: int = 1
) -> tuple[dict[str, Any], list[BadValue]]:
    """Return the canonical values of the known fields of a record, and the bad ones."""
    values: dict[str, Any] = {}
    bad: list[BadValue] = []
    seen: set[str] = set()
    for key, raw in record.items():
        name = CANONICAL_NAMES.get(key, "")
        field = BY_NAME.get(name)
        if field is None:
            continue
        text = raw if type(raw) is str else as_text(raw)
        if name in seen:
            bad.append(BadValue(row, key, text[:80], f"is a second value for {name}"))
            continue
        seen.add(name)
        try:
            short = len(text) <= _SHORT
            values[name] = _repaired(field.repair, text) if short else field.repair(text)
        except ValueError as error:
            bad.append(BadValue(row, key, text[:80], str(error)))
    return values, bad


@lru_cache(maxsize=1 << 14)
def _repaired(repair: Callable[[str], Any], text: str) -> Any:
    """Repair a value; the same few thousand come again and again."""
    return repair(text)


def as_text(raw: Any) -> str:
    """Write any JSON or Python value the way an export would."""
    if raw is None:
        return ""
    if isinstance(raw, str):
        return raw
    if isinstance(raw, (list, tuple, set, frozenset)):
        return " ".join(as_text(item) for item in raw)
    if isinstance(raw, float) and raw != raw:
        return ""
    return str(raw)


def _has_when_and_where(values: Mapping[str, Any]) -> bool:
    """Tell it quickly of most incidents."""
    return values.get("date_occ") is not None and values.get("area") is not None


def _missing_when_or_where(
    values: Mapping[str, Any], unreadable: Collection[str], row: int
) -> list[BadValue]:
    """Name what is missing, unless a value that could not be read already explains it."""
    missing = []
    if values.get("date_occ") is None and "date_occ" not in unreadable:
        missing.append(BadValue(row, "DATE OCC", "", "is missing: when did it happen?"))
    area, district, lat, lon = (values.get(name) for name in _PLACE)
    placed = not (area is None and district is None and None in (lat, lon))
    if not placed and set(_PLACE).isdisjoint(unreadable):
        missing.append(
            BadValue(row, "AREA", "", "is missing: give AREA, Rpt Dist No, or LAT and LON")
        )
    return missing
