from __future__ import annotations

import datetime as dt

import polars as pl

from crimeguard.domain.city import UNLISTED_PREMISE
from crimeguard.domain.level import InformationLevel, level_of
from crimeguard.ingest.chicago import CHICAGO
from crimeguard.ingest.coded import category_places, city_of
from crimeguard.ingest.kept import as_text
from crimeguard.ingest.portal import Adapted
from crimeguard.validate.report import Report
from crimeguard.validate.run import validate_reading
from tests.ingest import portal_rows

ROW = {
    "id": "13204489", "date": "2024-02-03T21:07:00.000", "block": "033XX W OGDEN AVE",
    "iucr": "486", "location_description": "RESIDENCE - PORCH / HALLWAY", "beat": "1021",
    "district": "010", "latitude": "41.850912345", "longitude": "-87.709812345",
}  # fmt: skip


def read(*rows: dict[str, str]) -> Adapted:
    return CHICAGO.read(as_text(rows, tuple(CHICAGO.columns)))


def validated(*rows: dict[str, str]) -> Report:
    return validate_reading(read(*rows).reading, source="chicago", as_of=dt.date(2024, 6, 1))


def test_a_row_becomes_an_incident() -> None:
    adapted = read(ROW)
    known = adapted.reading.frame.row(0, named=True)
    assert known["dr_no"] == "13204489"
    assert (known["date_occ"], known["time_occ"]) == (dt.date(2024, 2, 3), 2107)
    assert (known["area"], known["rpt_dist_no"]) == (10, 1021)
    assert (known["lat"], known["lon"]) == (41.8509, -87.7098)
    assert (known["offense"], known["location"]) == ("iucr:0486", "3300 W OGDEN AVE")
    assert known["city"] == "chicago"
    assert (
        known["premis_cd"]
        == read({**ROW, "location_description": "PORCH"}).reading.frame["premis_cd"].item()
    )
    assert adapted.remarks == ()


def test_it_knows_no_more_than_when_and_where() -> None:
    assert level_of(read(ROW).reading.frame.columns) is InformationLevel.CALL


def test_a_premise_that_no_table_lists_is_told_and_not_taken_for_another() -> None:
    rows = [{**ROW, "location_description": text} for text in ("MOON BASE", "STREET", "")]
    adapted = read(*rows, {**rows[0], "id": "2"})
    assert adapted.reading.frame["premis_cd"].to_list() == [
        UNLISTED_PREMISE, read(rows[1]).reading.frame["premis_cd"].item(), None, UNLISTED_PREMISE,
    ]  # fmt: skip
    assert adapted.remarks == (
        "2 rows have a premise that no table lists, kept as 999999: 'MOON BASE'",
    )


def test_clean_rows_break_no_rule_of_their_own_city() -> None:
    rows = [row for row in portal_rows.chicago(600) if row["location_description"] != "MOON BASE"]
    report = validated(*rows)
    assert report.ok
    assert {item.check for item in report.findings} <= {
        "expected_columns", "premis_cd_complete", "leaks_category", "placeholder_days",
        "volume_per_month",
    }  # fmt: skip
    assert {"offense_known", "offense_present", "place_in_city", "area_known"} <= set(report.passed)


def test_codes_in_no_table_are_counted_and_reported() -> None:
    rows = portal_rows.chicago(300)
    for place in (5, 6, 7):
        rows[place] = {**rows[place], "iucr": "9999"}
    rows[8] = {name: value for name, value in rows[8].items() if name != "iucr"}
    report = validated(*rows)
    found = {item.check: item for item in report.errors}
    assert found.keys() == {"offense_known", "offense_present"}
    assert (found["offense_known"].count, found["offense_known"].values) == (
        3, (("iucr:9999", 3),),
    )  # fmt: skip
    assert found["offense_present"].count == 1


def test_a_place_in_another_city_is_an_error() -> None:
    rows = portal_rows.chicago(300)
    rows[0] = {**rows[0], "latitude": "34.05", "longitude": "-118.24"}
    report = validated(*rows)
    assert "place_in_region" in {item.check for item in report.errors}


def test_districts_are_those_of_chicago() -> None:
    rows = portal_rows.chicago(300)
    rows[0] = {**rows[0], "district": "027"}
    found = {item.check: item for item in validated(*rows).errors}
    assert found["area_known"].values == (("27", 1),)
    assert "Chicago" in found["area_known"].meaning


def test_many_rows_have_categories_and_one_city() -> None:
    frame = read(*portal_rows.chicago(500)).reading.require_clean("the rows")
    assert category_places(frame).null_count() == 0
    assert city_of(frame).name == "Chicago"
    assert frame.select(pl.col("dr_no").is_unique().all()).item()
