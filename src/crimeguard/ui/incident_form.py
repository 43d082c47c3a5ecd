"""From a filled form to the record that is sent: only what the user gave."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from crimeguard.domain.errors import UsageError

# Nothing was recorded, which is itself a fact; "not known" is another.
NONE_RECORDED: Final[Mapping[Any, str]] = MappingProxyType({"": "None recorded"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """The form's values; None is "not known", '' is "none recorded"."""

    date: dt.date | None = None
    time: dt.time | None = None
    area: int | None = None
    premise: int | None = None
    latitude: float | None = None
    longitude: float | None = None
    district: int | None = None
    age: int | None = None
    sex: str | None = None
    descent: str | None = None
    reported: dt.date | None = None
    weapon: int | str | None = None
    methods: tuple[int | str, ...] = ()


def record_of(filled: Filled) -> dict[str, Any]:
    """Return the record to send, by canonical names, without what is not known.

    Raises UsageError where the form cannot be sent: no date, no place, half a point,
    reported before it happened.
    """
    if filled.date is None:
        raise UsageError("Please give the date.", why="A prediction needs to know when.")
    _check_place(filled)
    if filled.reported is not None and filled.reported < filled.date:
        raise UsageError("Please check the dates.",
                         why="The incident was reported before it happened.")  # fmt: skip
    known: dict[str, Any] = {
        "date_occ": filled.date.isoformat(),
        "time_occ": None if filled.time is None else filled.time.hour * 100 + filled.time.minute,
        "area": filled.area,
        "rpt_dist_no": filled.district,
        "premis_cd": filled.premise,
        "lat": filled.latitude,
        "lon": filled.longitude,
        "date_rptd": None if filled.reported is None else filled.reported.isoformat(),
        "vict_age": filled.age,
        "vict_sex": filled.sex,
        "vict_descent": filled.descent,
        "weapon_used_cd": filled.weapon,
    }
    record = {name: _sent(value) for name, value in known.items() if value is not None}
    if filled.methods:
        record["mocodes"] = [code for code in filled.methods if code != ""]
    return record


def _check_place(filled: Filled) -> None:
    if (filled.latitude is None) != (filled.longitude is None):
        raise UsageError("Please complete the point.",
                         why="A point needs both latitude and longitude.")  # fmt: skip
    if filled.area is None and filled.district is None and filled.latitude is None:
        raise UsageError(
            "Please say where it happened.", why="A prediction needs a place.",
            fix="Choose a police area, or give a point or a reporting district.",
        )  # fmt: skip


def _sent(value: Any) -> Any:
    """Send "none recorded" as null: the field is named, its value is blank."""
    return None if value == "" else value
