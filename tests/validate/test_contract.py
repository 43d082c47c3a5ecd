import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from crimeguard.domain.errors import BadValue
from crimeguard.ingest.frame import Reading
from crimeguard.validate.contract import check_contract, check_reading, check_volume
from crimeguard.validate.finding import Evidence, Finding, Severity
from crimeguard.validate.report import Report
from tests.validate.rows import AS_OF, FIRST, ROWS, incidents, with_first


def check(frame: pl.DataFrame, **options: Any) -> Report:
    return check_contract(frame, as_of=AS_OF, **options)


def finding(report: Report, name: str) -> Finding:
    return next(item for item in report.findings if item.check == name)


def test_clean_rows_pass_every_check() -> None:
    report = check(incidents())
    assert report.findings == ()
    assert report.skipped == ()
    assert report.rows == ROWS
    assert len(report.passed) == len(set(report.passed)) > 35


# Check, severity, how many rows it concerns, the frame that breaks it, its first evidence.
BROKEN: list[tuple[str, str, int, pl.DataFrame, str]] = [
    ("dr_no_present", "error", 2, with_first(2, dr_no=None), "blank"),
    ("dr_no_unique", "error", 3, with_first(3, dr_no="7"), "7"),
    ("no_duplicates", "warning", 4, pl.concat([incidents(), incidents().head(4)]), "230000000"),
    ("date_occ_in_range", "error", 1,
     with_first(1, date_occ=dt.date(2023, 6, 2), date_rptd=None), "2023-06-02"),
    ("date_rptd_in_range", "error", 1, with_first(1, date_rptd=dt.date(2033, 1, 1)), "2033-01-01"),
    ("date_occ_present", "error", 1, with_first(1, date_occ=None), "blank"),
    ("reported_after_occurrence", "error", 2, with_first(2, date_rptd=dt.date(2022, 12, 31)),
     "date_occ 2023-01-01, date_rptd 2022-12-31"),
    ("area_known", "error", 1, with_first(1, area=22, rpt_dist_no=2201), "22"),
    ("crm_cd_known", "error", 3, with_first(3, crm_cd=999), "999"),
    ("crm_cd_present", "error", 3, with_first(3, crm_cd=None), "blank"),
    ("premis_cd_known", "warning", 3, with_first(3, premis_cd=999), "999"),
    ("weapon_used_cd_known", "warning", 3, with_first(3, weapon_used_cd=999), "999"),
    ("mocodes_known", "warning", 3, with_first(3, mocodes=[344, 9997, 9998]), "9997 9998"),
    ("time_occ_in_range", "error", 1, with_first(1, time_occ=2360), "2360"),
    ("vict_age_in_range", "error", 1, with_first(1, vict_age=121), "121"),
    ("place_in_city", "warning", 1, with_first(1, lat=34.7), "lat 34.7, lon "),
    ("place_in_region", "error", 1, with_first(1, lat=41.8), "lat 41.8, lon "),
    ("district_in_area", "error", 1, with_first(1, area=3, rpt_dist_no=401),
     "area 3, rpt_dist_no 401"),
    ("placeholder_times", "warning", 61, with_first(61, time_occ=1200), "1200"),
    ("placeholder_days", "warning", 85, with_first(70, date_occ=FIRST), "2023-01-01"),
    ("late_reports", "warning", 13,
     with_first(13, date_occ=dt.date(2021, 12, 1)), "date_occ 2021-12-01, date_rptd "),
    ("date_rptd_complete", "warning", 13, with_first(13, date_rptd=None), "blank"),
    ("time_occ_complete", "warning", 13, with_first(13, time_occ=None), "blank"),
    ("area_complete", "warning", 13, with_first(13, area=None), "blank"),
    ("rpt_dist_no_complete", "warning", 13, with_first(13, rpt_dist_no=None), "blank"),
    ("mocodes_complete", "warning", ROWS, incidents(mocodes=[[]] * ROWS), ""),
    ("vict_age_complete", "warning", ROWS, incidents(vict_age=None), "blank"),
    ("vict_sex_complete", "warning", ROWS, incidents(vict_sex=None), "blank"),
    ("vict_descent_complete", "warning", ROWS, incidents(vict_descent=None), "blank"),
    ("premis_cd_complete", "warning", 13, with_first(13, premis_cd=None), "blank"),
    ("weapon_used_cd_complete", "warning", ROWS, incidents(weapon_used_cd=None), "blank"),
    ("location_complete", "warning", 13, with_first(13, location=None), "blank"),
    ("cross_street_complete", "warning", ROWS, incidents(cross_street=None), "blank"),
    ("lat_complete", "warning", 13, with_first(13, lat=None), "blank"),
    ("lon_complete", "warning", 13, with_first(13, lon=None), "blank"),
    ("required_columns", "error", 1, incidents().drop("crm_cd"), "Crm Cd"),
    ("expected_columns", "warning", 2, incidents().drop("mocodes", "vict_age"), "Mocodes"),
    ("column_types", "error", 1, incidents().with_columns(pl.col("area").cast(pl.String)),
     "area is String, not Int32"),
    ("volume_per_month", "warning", 1,
     incidents().filter((pl.col("date_occ").dt.month() != 4) | (pl.col("date_occ").dt.day() < 9)
                        | (pl.col("date_occ").dt.day() == 30)),
     "2023-04: 45 rows"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "severity", "count", "frame", "value"), BROKEN, ids=[row[0] for row in BROKEN]
)
def test_a_check_fires(
    name: str, severity: str, count: int, frame: pl.DataFrame, value: str
) -> None:
    report = check(frame)
    found = finding(report, name)
    assert (found.severity, found.count) == (severity, count)
    assert 0 < found.share <= 1
    assert found.evidence[0].value.startswith(value)
    assert found.meaning
    assert found.fix
    assert name not in report.passed
    assert report.ok is not any(item.severity == "error" for item in report.findings)


def test_every_check_has_a_row_that_breaks_it() -> None:
    assert {row[0] for row in BROKEN} == set(check(incidents()).passed)


# What is near a limit, and must not be reported.
FINE: dict[str, pl.DataFrame] = {
    "placeholder_times": with_first(60, time_occ=1),
    "late_reports": with_first(12, date_occ=dt.date(2021, 12, 1)),
    "date_occ_in_range": with_first(1, date_occ=AS_OF, date_rptd=AS_OF),
    "date_rptd_in_range": with_first(1, date_rptd=AS_OF),
    "reported_after_occurrence": with_first(1, date_rptd=FIRST, date_occ=FIRST),
    "vict_age_in_range": with_first(1, vict_age=120),
    "time_occ_in_range": with_first(1, time_occ=0),
    "place_in_city": with_first(9, lat=None, lon=None),
    "premis_cd_known": with_first(9, premis_cd=None),
    "district_in_area": with_first(9, rpt_dist_no=None),
    "mocodes_known": with_first(9, mocodes=None),
    "dr_no_unique": pl.concat([incidents(), incidents().head(4)]),
    "premis_cd_complete": with_first(12, premis_cd=None),
    "vict_age_complete": with_first(100, vict_age=None),
}


@pytest.mark.parametrize("name", FINE)
def test_a_check_stays_silent_at_its_limit(name: str) -> None:
    report = check(FINE[name])
    assert name in report.passed


def test_evidence_names_row_and_number() -> None:
    frame = incidents().with_columns(
        crm_cd=pl.when(pl.int_range(pl.len()).is_in([3, 70])).then(999).otherwise("crm_cd")
    )
    found = finding(check(frame.cast({"crm_cd": pl.Int32})), "crm_cd_known")
    assert found.evidence == (Evidence(4, "230000003", "999"), Evidence(71, "230000070", "999"))
    assert found.values == (("999", 2),)
    assert found.share == pytest.approx(2 / ROWS)


def test_every_unknown_code_is_listed_with_its_count() -> None:
    frame = with_first(6, mocodes=[344, 9997])
    frame = frame.with_columns(
        mocodes=pl.when(pl.int_range(pl.len()) < 2)
        .then(pl.lit([9998, 9997], pl.List(pl.Int16)))
        .otherwise("mocodes")
    )
    assert finding(check(frame), "mocodes_known").values == (("9997", 6), ("9998", 2))


def test_a_few_wrong_districts_are_a_warning_and_many_an_error() -> None:
    many = pl.concat([incidents(dr_no=[f"{n}-{k}" for n in range(ROWS)]) for k in range(2)])
    one = pl.int_range(pl.len()) < 1
    wrong = many.with_columns(
        rpt_dist_no=pl.when(one).then(9901).otherwise("rpt_dist_no").cast(pl.Int32)
    )
    assert finding(check(wrong), "district_in_area").severity is Severity.WARNING
    assert finding(check(wrong.head(900)), "district_in_area").severity is Severity.ERROR


def test_labels_are_asked_for_only_where_they_are_needed() -> None:
    unlabelled = incidents().drop("crm_cd")
    assert check(unlabelled, labels=False).ok
    assert check(with_first(3, crm_cd=None), labels=False).findings == ()
    assert not check(with_first(3, crm_cd=999), labels=False).ok


def test_a_check_without_its_column_is_skipped_and_said_so() -> None:
    report = check(incidents().drop("lat", "weapon_used_cd"))
    assert {"place_in_city", "lat_complete", "weapon_used_cd_known"} <= set(report.skipped)
    assert set(report.passed).isdisjoint(report.skipped)


def test_shares_of_a_few_rows_say_nothing() -> None:
    report = check(incidents(weapon_used_cd=None, time_occ=1200).head(199))
    assert report.findings == ()
    assert {"weapon_used_cd_complete", "placeholder_times"} <= set(report.skipped)


@pytest.mark.parametrize("rows", [0, 1])
def test_next_to_no_rows_are_no_bug(rows: int) -> None:
    report = check(incidents().head(rows))
    assert report.ok
    assert report.rows == rows


def test_rows_are_numbered_as_in_their_source() -> None:
    numbers = pl.int_range(1001, 1001 + ROWS, eager=True)
    found = finding(check(with_first(1, area=99), rows=numbers), "area_known")
    assert found.evidence[0].row == 1001


def test_each_check_is_announced() -> None:
    told: list[str] = []
    check(incidents(), on_check=told.append)
    assert {"dr_no_unique", "mocodes_known", "lat_complete"} <= set(told)


def test_an_empty_month_and_a_crowded_one_are_seen() -> None:
    month = pl.col("date_occ").dt.month()
    gap = check_volume(incidents().filter(month != 3))
    assert [item.value for item in gap[0].evidence] == ["2023-03: 0 rows, 0.0 of the usual"]
    crowd = check_volume(pl.concat([incidents(), *[incidents().filter(month == 2)] * 2]))
    assert [item.value for item in crowd[0].evidence] == ["2023-02: 420 rows, 3.0 of the usual"]
    assert gap[0].evidence[0].row is None


def test_two_months_cannot_be_compared() -> None:
    assert check_volume(incidents().filter(pl.col("date_occ").dt.month().is_in([1, 2]))) == []
    report = check(incidents().head(100))
    assert "volume_per_month" in report.skipped


READING = Reading(
    incidents(), bad=(BadValue(3, "Vict Age", "x", "is not an age"),), bad_rows=frozenset({2}),
    ignored=("Unnamed: 0",),
)  # fmt: skip


def test_what_could_not_be_read_is_an_error_unless_it_is_dropped() -> None:
    refused, ignored = check_reading(READING, dropped=False)
    assert (refused.check, refused.severity, refused.count) == ("readable_values", "error", 1)
    assert refused.evidence == (Evidence(3, None, "Vict Age: 'x' is not an age"),)
    assert (ignored.check, ignored.severity) == ("known_columns", "warning")
    assert check_reading(READING, dropped=True)[0].severity is Severity.WARNING
    assert check_reading(Reading(incidents()), dropped=False) == []


def test_dropping_every_row_is_no_way_to_pass() -> None:
    all_bad = Reading(incidents().head(2), bad=READING.bad, bad_rows=frozenset({0, 1}))
    assert check_reading(all_bad, dropped=True)[0].severity is Severity.ERROR


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "warnings"),
    [
        ("la_2023q1", {"mocodes_known", "volume_per_month"}),
        ("la_westla_2020_2021", set()),
        ("la_2020_biased", {"mocodes_known", "volume_per_month", "late_reports"}),
    ],
)
def test_the_real_rows_meet_the_contract(realdata: Path, name: str, warnings: set[str]) -> None:
    from crimeguard.ingest.source import read_file

    frame = read_file(realdata / f"{name}.parquet").frame
    report = check_contract(frame, as_of=dt.date(2026, 1, 1))
    assert report.ok
    assert {item.check for item in report.findings} == warnings
    assert frame.filter(pl.col("rpt_dist_no") // 100 != pl.col("area")).is_empty()
