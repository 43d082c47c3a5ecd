import datetime as dt

import polars as pl
import pytest

from crimeguard.domain.city import CITIES, LOS_ANGELES
from crimeguard.domain.codes import crime_codes
from crimeguard.validate.month import SPANS, measure, months_between, table_of
from crimeguard.validate.rules import row_rules
from tests.validate.rows import AS_OF, incidents

RULES = row_rules(AS_OF, labels=True)


def january(**changes: object) -> pl.DataFrame:
    return incidents(**changes).filter(pl.col("date_occ") < dt.date(2023, 2, 1))


def test_what_is_there_is_counted() -> None:
    frame = january()
    month = measure("2023-01", frame.lazy(), RULES)
    assert (month.month, month.rows, month.days) == ("2023-01", 155, 31)
    for name in frame.columns:
        held = frame[name].list.len() > 0 if name == "mocodes" else frame[name].is_not_null()
        assert month.present[name] == held.sum()
        assert month.share(name) == held.mean()
    assert month.areas == month.codes["area"]
    assert sum(month.areas.values()) == 155
    assert month.alike == 0


def test_every_rule_counts_what_the_contract_finds() -> None:
    from crimeguard.validate.contract import check_contract

    frame = january().with_columns(
        pl.when(pl.int_range(pl.len()) < 3).then(99).otherwise(pl.col("area")).cast(pl.Int32)
        .alias("area"),
        pl.when(pl.int_range(pl.len()) == 7).then(pl.lit("230000001")).otherwise(pl.col("dr_no"))
        .alias("dr_no"),
        pl.when(pl.int_range(pl.len()) == 9).then(777).otherwise(pl.col("premis_cd"))
        .cast(pl.Int32).alias("premis_cd"),
        pl.when(pl.int_range(pl.len()) == 5).then(pl.lit([9998], pl.List(pl.Int16)))
        .otherwise(pl.col("mocodes")).alias("mocodes"),
    )  # fmt: skip
    frame = pl.concat([frame, frame.tail(2)])
    month = measure("2023-01", frame.lazy(), RULES)
    found = {item.check: item.count for item in check_contract(frame, as_of=AS_OF).findings}
    assert {"area_known", "dr_no_unique", "premis_cd_known", "mocodes_known", "no_duplicates",
            "district_in_area"} == found.keys()  # fmt: skip
    assert {check: month.broken[check] for check in found} == found
    quiet = {check for check, rows in month.broken.items() if not rows}
    assert {"crm_cd_known", "vict_age_in_range", "date_occ_in_range"} <= quiet


def test_codes_that_are_in_no_table_are_named() -> None:
    frame = january(premis_cd=777, mocodes=[[344, 9998]] * 600)
    month = measure("2023-01", frame.lazy(), RULES)
    assert month.unknown("premis_cd") == {777: 155}
    assert month.unknown("mocodes") == {9998: 155}
    assert month.codes["mocodes"] == {344: 155, 9998: 155}
    assert month.unknown("crm_cd") == {}
    told = month.to_dict()
    assert told["codes_in_no_table"] == {"premis_cd": {"777": 155}, "mocodes": {"9998": 155}}
    assert table_of("crm_cd", CITIES[LOS_ANGELES]) == crime_codes().keys()


def test_rows_alike_but_for_their_number() -> None:
    frame = january()
    twins = frame.head(4).with_columns(dr_no=pl.format("99{}", pl.col("dr_no")))
    third = frame.head(1).with_columns(dr_no=pl.lit("7"))
    assert measure("2023-01", pl.concat([frame, twins, third]).lazy(), RULES).alike == 5


@pytest.mark.parametrize("rows", [1, 7, 155])
def test_delays(rows: int) -> None:
    frame = january().head(rows)
    days = [(n * n) % 800 for n in range(rows)]
    frame = frame.with_columns(pl.Series("_days", days, dtype=pl.Int64)).select(
        pl.exclude("_days", "date_rptd"),
        date_rptd=pl.col("date_occ") + pl.duration(days=pl.col("_days")),
    )
    delay = measure("2023-01", frame.lazy(), RULES).delay
    assert delay is not None
    assert delay.rows == rows == sum(delay.spans)
    assert delay.longest == max(days)
    assert delay.mean == pytest.approx(sum(days) / rows)
    for share, value in ((0.5, delay.p50), (0.9, delay.p90), (0.99, delay.p99)):
        # The least number of days within which so many of the reports came.
        assert sum(day <= value for day in days) >= share * rows
    starts = [*SPANS.values(), 10**6]
    for low, high, counted in zip(starts, starts[1:], delay.spans, strict=False):
        assert counted == sum(low <= day < high for day in days)


def test_a_month_without_reports_or_codes() -> None:
    frame = january().select("dr_no", "date_occ", "lat", "lon")
    month = measure("2023-01", frame.lazy(), RULES)
    assert month.delay is None
    assert (month.codes, month.areas) == ({}, {})
    assert "area_known" not in month.broken
    assert month.to_dict()["delay"] is None


def test_months_between() -> None:
    assert months_between("2022-11", "2023-02") == ["2022-11", "2022-12", "2023-01", "2023-02"]
    assert months_between("2023-02", "2023-02") == ["2023-02"]
