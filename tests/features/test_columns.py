from __future__ import annotations

import datetime as dt
from dataclasses import fields

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.incident import Incident
from crimeguard.domain.level import InformationLevel
from crimeguard.features.columns import (
    DESCENTS,
    MISSING,
    NO_DELAY,
    SEXES,
    Columns,
    concatenate,
)

FULL = Incident(
    date_occ=dt.date(2023, 3, 10), time_occ=5, area=12, rpt_dist_no=1249, premis_cd=502,
    cross_street="MAIN", lat=33.97, lon=-118.29, date_rptd=dt.date(2023, 3, 12), vict_age=34,
    vict_sex="X", vict_descent="Z", weapon_used_cd=400, mocodes=(416, 1813, 2000),
)  # fmt: skip
BARE = Incident(date_occ=dt.date(1999, 12, 31))


def same(one: Columns, other: Columns) -> bool:
    return all(
        getattr(one, f.name).dtype == getattr(other, f.name).dtype
        and np.array_equal(
            getattr(one, f.name), getattr(other, f.name), equal_nan=f.name in ("lat", "lon")
        )
        for f in fields(Columns)
    )


def test_every_field_has_its_place() -> None:
    columns = Columns.from_incidents([FULL, BARE])
    assert len(columns) == 2
    row = {f.name: getattr(columns, f.name)[0] for f in fields(Columns)}
    assert row.pop("day") == (dt.date(2023, 3, 10) - dt.date(1970, 1, 1)).days
    assert row == {
        "level": 2, "time_occ": 5, "area": 12, "rpt_dist_no": 1249, "premis_cd": 502,
        "crossed": 1, "lat": 33.97, "lon": -118.29, "vict_age": 34,
        "vict_sex": SEXES.index("X"), "vict_descent": DESCENTS.index("Z"), "delay": 2,
        "weapon_used_cd": 400, "mo_offsets": 0, "mo_values": 416,
    }  # fmt: skip
    assert columns.mo_values.tolist() == [416, 1813, 2000]
    assert columns.mo_offsets.tolist() == [0, 3, 3]


def test_what_is_not_known_is_missing() -> None:
    columns = Columns.from_incidents([BARE])
    codes = ("time_occ", "area", "rpt_dist_no", "premis_cd", "vict_age", "vict_sex",
             "vict_descent", "weapon_used_cd")  # fmt: skip
    assert {getattr(columns, name)[0] for name in codes} == {MISSING}
    assert columns.delay[0] == NO_DELAY
    assert columns.crossed[0] == 0
    assert np.isnan(columns.lat[0])
    assert np.isnan(columns.lon[0])


def test_a_report_before_its_incident_keeps_its_sign() -> None:
    early = Incident(date_occ=dt.date(2023, 3, 2), date_rptd=dt.date(2023, 3, 1))
    assert Columns.from_incidents([early]).delay.tolist() == [-1]


@pytest.mark.parametrize("level", InformationLevel)
def test_a_level_hides_what_is_above_it(level: InformationLevel) -> None:
    full = Columns.from_incidents([FULL, BARE])
    hidden = full.at_level(level)
    assert hidden.level.tolist() == [level, level]
    victim = level >= InformationLevel.VICTIM
    report = level >= InformationLevel.REPORT
    assert (hidden.vict_age[0] == 34) == victim
    assert (hidden.vict_sex[0] != MISSING) == victim
    assert (hidden.vict_descent[0] != MISSING) == victim
    assert (hidden.delay[0] == 2) == victim
    assert (hidden.weapon_used_cd[0] == 400) == report
    assert hidden.mo_values.tolist() == ([416, 1813, 2000] if report else [])
    assert hidden.mo_offsets.tolist() == ([0, 3, 3] if report else [0, 0, 0])
    assert hidden.premis_cd[0] == 502
    assert full.mo_values.tolist() == [416, 1813, 2000]


def test_a_level_never_shows_more_than_is_known() -> None:
    call = Columns.from_incidents([FULL]).at_level(InformationLevel.CALL)
    assert same(call.at_level(InformationLevel.REPORT), call)


def test_incidents_of_mixed_levels_are_hidden_one_by_one() -> None:
    from dataclasses import replace

    mixed = [replace(FULL, level=level) for level in map(InformationLevel, (2, 0, 1, 2))]
    columns = Columns.from_incidents(mixed)
    assert columns.vict_age.tolist() == [34, MISSING, 34, 34]
    assert columns.weapon_used_cd.tolist() == [400, MISSING, MISSING, 400]
    assert columns.mo_offsets.tolist() == [0, 3, 3, 3, 6]


def test_a_frame_tells_its_level_by_its_columns(incidents: pl.DataFrame) -> None:
    assert set(Columns.from_frame(incidents).level) == {InformationLevel.REPORT}
    no_report = incidents.drop("weapon_used_cd", "mocodes")
    assert set(Columns.from_frame(no_report).level) == {InformationLevel.VICTIM}
    no_victim = no_report.drop("vict_age", "vict_sex", "vict_descent", "date_rptd")
    assert set(Columns.from_frame(no_victim).level) == {InformationLevel.CALL}
    asked = Columns.from_frame(no_victim, level=InformationLevel.REPORT)
    assert set(asked.level) == {InformationLevel.CALL}


@pytest.mark.parametrize("level", [InformationLevel.CALL, InformationLevel.VICTIM])
def test_hiding_a_frame_is_as_if_it_had_no_such_columns(
    incidents: pl.DataFrame, level: InformationLevel
) -> None:
    dropped = incidents.drop("weapon_used_cd", "mocodes")
    if level == InformationLevel.CALL:
        dropped = dropped.drop("vict_age", "vict_sex", "vict_descent", "date_rptd")
    hidden = Columns.from_frame(incidents, level=level)
    assert same(hidden, Columns.from_frame(dropped))
    assert same(hidden, Columns.from_frame(incidents).at_level(level))


def test_rows_and_take_are_the_same_incidents(incidents: pl.DataFrame) -> None:
    columns = Columns.from_frame(incidents.head(50))
    assert same(columns.rows(10, 30), Columns.from_frame(incidents[10:30]))
    assert same(columns.rows(0, 50), columns)
    assert len(columns.rows(7, 7)) == 0
    order = np.array([40, 3, 3, 11])
    assert same(columns.take(order), Columns.from_frame(incidents[order.tolist()]))
    assert len(columns.take(np.array([], np.int64))) == 0


def test_parts_put_together_are_the_whole(incidents: pl.DataFrame) -> None:
    parts = [Columns.from_frame(incidents[start : start + 20]) for start in (0, 20, 40)]
    assert same(concatenate(parts), Columns.from_frame(incidents.head(60)))


def test_no_incident_is_no_row(incidents: pl.DataFrame) -> None:
    assert len(Columns.from_incidents([])) == 0
    assert same(Columns.from_frame(incidents.clear()), Columns.from_incidents([]))
