from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl

from crimeguard.domain.field import FORBIDDEN_FEATURES
from crimeguard.domain.level import REPORT_FIELDS, VICTIM_FIELDS, InformationLevel
from crimeguard.evaluate.watched import BY_NAME, WATCHED, watched_frame
from crimeguard.ingest.frame import SCHEMA

DAY = dt.date(2023, 3, 10)


def rows(**fields: list[object]) -> pl.DataFrame:
    """Return a canonical frame of the fields named."""
    count = len(next(iter(fields.values())))
    whole: dict[str, list[object]] = {"date_occ": [DAY] * count, **fields}
    return pl.DataFrame({name: pl.Series(whole[name], dtype=SCHEMA[name]) for name in whole})


def test_fields_are_known_by_their_names_and_none_tells_the_category() -> None:
    names = [field.name for field in WATCHED]
    assert len(set(names)) == len(names)
    assert list(BY_NAME) == names
    read = {name for field in WATCHED for name in field.value.meta.root_names()}
    assert not read & FORBIDDEN_FEATURES
    assert read <= SCHEMA.keys()


def test_a_field_is_known_from_the_level_on_that_its_columns_are() -> None:
    for field in WATCHED:
        read = set(field.value.meta.root_names())
        level = InformationLevel.CALL
        if read & VICTIM_FIELDS:
            level = InformationLevel.VICTIM
        if read & REPORT_FIELDS:
            level = InformationLevel.REPORT
        assert field.level == level, field.name


def test_every_field_and_the_day_are_laid_out(incidents: pl.DataFrame) -> None:
    found = watched_frame(incidents)
    assert found.columns == ["date_occ", *(field.name for field in WATCHED)]
    assert found.height == incidents.height
    for field in WATCHED:
        assert found[field.name].dtype.is_numeric() == (
            field.kind == "numeric" or found[field.name].dtype == pl.Int32
        )
    for name in ("area", "rpt_dist_no", "lat", "premis_cd", "vict_sex", "weapon_used_cd"):
        assert found[name].equals(incidents[name])


def test_the_clock_is_read_in_hours() -> None:
    found = watched_frame(rows(time_occ=[0, 59, 100, 2359, None]))
    assert found["hour"].to_list() == [0, 0, 1, 23, None]


def test_of_a_cross_street_only_its_being_there_counts() -> None:
    found = watched_frame(rows(cross_street=["MAIN ST", None, "1ST ST"]))
    assert found["cross_street"].to_list() == [1, 0, 1]


def test_codes_are_counted_and_none_is_an_empty_list() -> None:
    found = watched_frame(rows(mocodes=[[344, 416], [], None]))
    assert found["mocodes"].to_list() == [[344, 416], [], []]
    assert found["mo_count"].to_list() == [2, 0, 0]


def test_late_reports_are_left_out_and_unknown_ones_are_not() -> None:
    after = [dt.timedelta(days) for days in (0, 7, 8, 400, -1)]
    found = watched_frame(rows(date_rptd=[*(DAY + days for days in after), None]))
    days = found["days_until_reported"]
    assert days.null_count() == 1
    assert days[5] is None
    np.testing.assert_array_equal(days[:5].to_numpy(), [0, 7, np.nan, np.nan, -1])


def test_a_column_that_is_not_there_is_unknown() -> None:
    found = watched_frame(rows(area=[3, 4]))
    for field in WATCHED:
        if field.name not in ("area", "cross_street", "mocodes", "mo_count"):
            assert found[field.name].null_count() == 2, field.name
    assert found["area"].to_list() == [3, 4]
    assert watched_frame(found.select("date_occ").clear()).height == 0


def test_the_calendar_is_not_looked_at() -> None:
    frame = rows(area=[1, 2, 3], time_occ=[100, 200, 300])
    moved = frame.with_columns(pl.col("date_occ") + pl.duration(days=100))
    assert watched_frame(frame).drop("date_occ").equals(watched_frame(moved).drop("date_occ"))
