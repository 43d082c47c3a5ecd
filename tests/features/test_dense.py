from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.incident import Incident
from crimeguard.domain.level import InformationLevel
from crimeguard.features.columns import DESCENTS, Columns
from crimeguard.features.dense import FIELDS, DenseTable

ONE = Incident(
    date_occ=dt.date(2023, 3, 10), time_occ=2130, area=12, rpt_dist_no=1249, premis_cd=502,
    lat=33.5, lon=-118.25, date_rptd=dt.date(2023, 3, 12), vict_age=34, vict_sex="F",
    vict_descent="H", weapon_used_cd=400, mocodes=(416, 2000),
)  # fmt: skip
SEEN = [
    replace(ONE, premis_cd=code, mocodes=codes)
    for code, codes in [(101, (416,)), (502, (416, 2000)), (502, (2000, 344)), (710, (416,))]
]
TABLE = DenseTable.fit(Columns.from_incidents(SEEN), min_count=1, mo_columns=2)


def row(incident: Incident, table: DenseTable = TABLE) -> dict[str, float]:
    matrix = table.matrix(Columns.from_incidents([incident]))
    assert matrix.dtype == np.float32
    return dict(zip(table.names, matrix[0].tolist(), strict=True))


def test_each_column_is_what_its_name_says() -> None:
    assert row(ONE) == {
        "hour": 21.5, "minute": 30, "weekday": 4, "day_of_month": 10, "crossed": 0,
        "lat": 33.5, "lon": -118.25, "area": 0, "rpt_dist_no": 0, "premis_cd": 1,
        "weapon_used_cd": 0, "vict_age": 34, "vict_sex": 0,
        "vict_descent": DESCENTS.index("H"), "delay": 2, "mo_count": 2, "level": 2,
        "mo_0416": 1, "mo_2000": 1,
    }  # fmt: skip


def test_missing_is_not_a_number_and_unknown_is_a_place_of_its_own() -> None:
    blank, unknown = row(replace(ONE, premis_cd=None)), row(replace(ONE, premis_cd=999))
    assert np.isnan(blank["premis_cd"])
    assert unknown["premis_cd"] == 3
    known = {row(replace(ONE, premis_cd=code))["premis_cd"] for code in (101, 502, 710)}
    assert known == {0, 1, 2}
    below, between = row(replace(ONE, premis_cd=1)), row(replace(ONE, premis_cd=600))
    assert below["premis_cd"] == between["premis_cd"] == 3


def test_nothing_known_is_nothing_but_the_day() -> None:
    bare = row(Incident(date_occ=dt.date(2023, 3, 1), level=InformationLevel.CALL))
    told = {name for name, value in bare.items() if not np.isnan(value)}
    assert told == {"weekday", "day_of_month", "crossed", "level"}


def test_no_mo_code_differs_from_a_level_without_them() -> None:
    reported = row(replace(ONE, mocodes=()))
    assert reported["mo_count"] == reported["mo_0416"] == 0
    called = row(replace(ONE, level=InformationLevel.VICTIM))
    assert np.isnan(called["mo_count"])
    assert np.isnan(called["mo_0416"])


def test_mo_codes_without_a_column_only_count() -> None:
    rare = row(replace(ONE, mocodes=(344, 9999)))
    assert (rare["mo_count"], rare["mo_0416"], rare["mo_2000"]) == (2, 0, 0)


def test_the_most_frequent_mo_codes_get_columns(incidents: pl.DataFrame) -> None:
    table = DenseTable.fit(Columns.from_frame(incidents), min_count=1, mo_columns=7)
    counted = incidents["mocodes"].explode().drop_nulls().value_counts(sort=True)
    least = counted["count"][6]
    chosen = counted.filter(pl.col("mocodes").is_in(table.mo_codes.tolist()))
    assert chosen.height == 7
    assert chosen["count"].min() == least
    assert table.mo_codes.tolist() == sorted(table.mo_codes.tolist())


def test_codes_seen_too_seldom_count_as_never_seen() -> None:
    table = DenseTable.fit(Columns.from_incidents(SEEN), min_count=2, mo_columns=2)
    assert table.places["premis_cd"].tolist() == [502]
    assert row(replace(ONE, premis_cd=101), table)["premis_cd"] == 1


def test_a_missing_code_never_gets_a_place() -> None:
    blank = [replace(ONE, premis_cd=None)] * 5
    table = DenseTable.fit(Columns.from_incidents(blank), min_count=1, mo_columns=2)
    assert table.places["premis_cd"].tolist() == []
    assert row(replace(ONE, premis_cd=502), table)["premis_cd"] == 0
    assert np.isnan(row(blank[0], table)["premis_cd"])


def test_tables_survive_json(incidents: pl.DataFrame) -> None:
    import json

    columns = Columns.from_frame(incidents)
    table = DenseTable.fit(columns, min_count=3, mo_columns=9)
    again = DenseTable.from_json(json.loads(json.dumps(table.to_json())))
    assert again.names == table.names == (*FIELDS, *table.names[len(FIELDS) :])
    assert np.array_equal(again.matrix(columns), table.matrix(columns), equal_nan=True)
    with pytest.raises(KeyError):
        DenseTable.from_json({"places": {}, "mo_codes": []})
