import datetime as dt

import polars as pl

from crimeguard.domain.errors import BadValue
from crimeguard.ingest.frame import Reading
from crimeguard.validate.run import validate_reading
from tests.validate.rows import AS_OF, ROWS, incidents, with_first


def bad_reading(frame: pl.DataFrame) -> Reading:
    return Reading(
        frame, bad=(BadValue(1, "Vict Age", "x", "is not an age"),), bad_rows=frozenset({0})
    )


def test_clean_rows_pass_contract_and_leakage() -> None:
    report = validate_reading(Reading(incidents()), source="x.csv", as_of=AS_OF)
    assert report.findings == ()
    assert report.source == "x.csv"
    assert {"readable_values", "crm_cd_known", "forbidden_features", "leaks_category"} <= set(
        report.passed
    )


def test_rows_that_cannot_be_read_are_left_out_and_evidence_keeps_its_numbers() -> None:
    frame = with_first(2, area=99, rpt_dist_no=9901)
    report = validate_reading(bad_reading(frame), source="x", as_of=AS_OF)
    assert [item.check for item in report.errors] == ["readable_values", "area_known"]
    assert [item.row for item in report.errors[1].evidence] == [2]
    assert report.rows == ROWS


def test_dropped_rows_are_only_a_warning() -> None:
    report = validate_reading(bad_reading(incidents()), source="x", as_of=AS_OF, drop_bad=True)
    assert report.ok
    assert [item.check for item in report.warnings] == ["readable_values"]


def test_a_leaking_field_breaks_the_contract() -> None:
    codes = [510, 330, 740] * (ROWS // 3)
    frame = incidents(crm_cd=codes, premis_cd=codes)
    report = validate_reading(Reading(frame), source="x", as_of=AS_OF)
    assert "leaks_category" in {item.check for item in report.errors}
    named = validate_reading(Reading(incidents()), source="x", as_of=AS_OF, features=["Status"])
    assert [item.check for item in named.errors] == ["forbidden_features"]


def test_without_labels_leakage_is_not_claimed_to_be_checked() -> None:
    report = validate_reading(
        Reading(incidents().drop("crm_cd")), source="x", as_of=AS_OF, labels=False
    )
    assert report.ok
    assert "leaks_category" not in report.passed


def test_wrong_types_end_the_checks_early() -> None:
    frame = incidents().with_columns(pl.col("crm_cd").cast(pl.String))
    report = validate_reading(Reading(frame), source="x", as_of=dt.date(2023, 6, 1))
    assert [item.check for item in report.errors] == ["column_types"]
    assert "crm_cd_known" not in report.passed
