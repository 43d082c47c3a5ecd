import datetime as dt
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from crimeguard.ingest.quarantine import Quarantine
from crimeguard.ingest.snapshot import write_snapshot
from crimeguard.validate import limits
from crimeguard.validate.finding import Severity
from crimeguard.validate.quality import Quality, Trouble, measure_quality, volume_ratio
from tests.validate.rows import AS_OF, ROWS, incidents

QUARANTINE = Quarantine(Path("x"), "s", "x.csv", "0" * 64, 10, 3, {"crm_cd_known": 3})


def many() -> pl.DataFrame:
    """Make two thousand four hundred incidents of four months, 600 a month or so."""
    frame = incidents()
    return pl.concat(
        frame.with_columns(
            dr_no=pl.format("{}{}", pl.lit(copy), pl.col("dr_no")),
            lat=pl.col("lat") + copy / 1000,
        )
        for copy in range(1, 5)
    )


def quality(frame: pl.DataFrame, home: Path, **options: Any) -> Quality:
    return measure_quality(write_snapshot(frame, home, source="a test"), as_of=AS_OF, **options)


def fired(report: Quality) -> dict[str, Trouble]:
    return {item.check: item for item in report.troubles}


def in_march(frame: pl.DataFrame, share: float, **changes: pl.Expr) -> pl.DataFrame:
    """Change a share of March's rows."""
    march = (pl.col("date_occ").dt.month() == 3) & (pl.int_range(pl.len()) % 100 < share * 100)
    return frame.with_columns(
        pl.when(march).then(value).otherwise(pl.col(name)).cast(frame.schema[name]).alias(name)
        for name, value in changes.items()
    )


def test_good_months_are_told_so(tmp_path: Path) -> None:
    told: list[str] = []
    report = quality(many(), tmp_path, on_month=told.append)
    assert report.troubles == ()
    assert told == ["2023-01", "2023-02", "2023-03", "2023-04"] == list(report.span)
    assert "keeps the data contract: 2,400 rows in 4 months, 0 errors" in report.verdict
    assert sum(month.rows for month in report.months) == report.rows == report.rows_in


@pytest.mark.parametrize(
    ("check", "severity", "share", "changes"),
    [
        ("area_known", "error", 0.01, {"area": pl.lit(99)}),
        ("crm_cd_known", "error", 0.01, {"crm_cd": pl.lit(999)}),
        ("vict_age_in_range", "error", 0.01, {"vict_age": pl.lit(121)}),
        ("district_in_area", "error", 0.01, {"rpt_dist_no": pl.lit(9901)}),
        ("reported_after_occurrence", "error", 0.01, {"date_rptd": pl.lit(dt.date(2022, 1, 1))}),
        ("premis_cd_known", "warning", 0.01, {"premis_cd": pl.lit(777)}),
        ("place_in_city", "warning", 0.01, {"lat": pl.lit(34.85)}),
        ("vict_sex_complete", "warning", 0.3, {"vict_sex": pl.lit(None)}),
        ("placeholder_times", "warning", 0.3, {"time_occ": pl.lit(1200)}),
    ],
)  # fmt: skip
def test_a_month_that_is_worse_than_the_others_is_found(
    check: str, severity: str, share: float, changes: dict[str, pl.Expr], tmp_path: Path
) -> None:
    report = quality(in_march(many(), share, **changes), tmp_path)
    found = fired(report)[check]
    assert (found.severity.value, found.months, found.worst) == (severity, ("2023-03",), "2023-03")
    (month,) = (item for item in report.months if item.month == "2023-03")
    assert found.rows == month.broken[check] > 0
    assert found.share == month.broken[check] / month.rows
    assert bool(report.errors) is (severity == "error")


def test_a_share_below_the_limit_stays_silent(tmp_path: Path) -> None:
    found = fired(quality(in_march(many(), 0.05, vict_sex=pl.lit(None)), tmp_path))
    assert "vict_sex_complete" not in found


def test_small_months_have_no_shares(tmp_path: Path) -> None:
    frame = incidents(vict_sex=None)  # 150 a month, fewer than shares need
    assert limits.MIN_ROWS > ROWS / 4
    assert "vict_sex_complete" not in fired(quality(frame, tmp_path))


def test_a_month_without_rows_is_a_gap(tmp_path: Path) -> None:
    report = quality(many().filter(pl.col("date_occ").dt.month() != 2), tmp_path)
    found = fired(report)["volume_per_month"]
    assert (found.months, found.rows, found.share) == (("2023-02",), 0, 0.0)
    assert report.to_dict()["months_without_rows"] == ["2023-02"]
    assert "2023-02" in report.span


def test_a_month_with_half_its_rows_is_found_and_one_with_most_is_not(tmp_path: Path) -> None:
    for share, months in ((2, ("2023-03",)), (6, None)):
        thinned = many().filter(
            (pl.col("date_occ").dt.month() != 3) | (pl.int_range(pl.len()) % share != 0)
        )
        found = fired(quality(thinned, tmp_path)).get("volume_per_month")
        assert (found and found.months) == months


def test_a_ratio_is_against_the_other_months(tmp_path: Path) -> None:
    report = quality(many(), tmp_path)
    for ratio in volume_ratio(report.months, report.span).values():
        assert ratio == pytest.approx(1, abs=0.05)
    assert volume_ratio(report.months[:1], report.span[:1]) == {"2023-01": 1.0}


@pytest.mark.parametrize(("share", "fires"), [(0.02, False), (0.06, True)])
def test_rows_entered_twice_under_another_number(share: float, fires: bool, tmp_path: Path) -> None:
    frame = many()
    march = frame.filter(pl.col("date_occ").dt.month() == 3)
    twins = march.head(int(march.height * share)).with_columns(
        dr_no=pl.format("9{}", pl.col("dr_no"))
    )
    found = fired(quality(pl.concat([frame, twins]), tmp_path)).get("alike_but_for_number")
    assert (found is not None) is fires
    if found is not None:
        assert (found.months, found.rows) == (("2023-03",), twins.height)
        assert found.severity is Severity.WARNING


def test_codes_are_held_against_their_tables(tmp_path: Path) -> None:
    report = quality(in_march(many(), 0.02, premis_cd=pl.lit(777)), tmp_path)
    codes = {item.field: item for item in report.codes}
    assert codes["area"].seen == codes["area"].table == 21
    assert codes["premis_cd"].seen == 3
    assert list(codes["premis_cd"].unknown) == [777]
    assert codes["crm_cd"].unknown == {}


def test_the_newest_months_are_young(tmp_path: Path) -> None:
    """The last report came on the fourth of May: April, and nothing before it, is young."""
    report = quality(many(), tmp_path)
    assert report.last_reported is not None
    assert [item.month for item in report.months if report.young(item)] == ["2023-04"]
    bare = quality(many().drop("date_rptd"), tmp_path)
    assert not any(bare.young(item) for item in bare.months)


def test_where_every_row_went(tmp_path: Path) -> None:
    frame = many()
    report = quality(pl.concat([frame, frame.head(5)]), tmp_path, quarantine=[QUARANTINE])
    assert (report.rows_in, report.rows, report.duplicates) == (2_405, 2_400, 5)
    assert report.quarantined == {"crm_cd_known": 3}
    told = report.to_dict()
    assert told["quarantined"] == {"rows": 3, "checks": {"crm_cd_known": 3}}
    json.dumps(told, allow_nan=False)


def test_a_snapshot_of_an_older_crimeguard_says_less(tmp_path: Path) -> None:
    kept = write_snapshot(many(), tmp_path, source="old")
    for name in ("rows_in", "quarantined"):
        kept.manifest.pop(name)
    report = measure_quality(kept, as_of=AS_OF)
    assert (report.rows_in, report.duplicates) == (2_400, 0)


def test_only_one_month_is_read_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    scan = pl.scan_parquet

    def spy(source: Path, **options: Any) -> pl.LazyFrame:
        opened.append(source.name)
        return scan(source, **options)

    monkeypatch.setattr(pl, "scan_parquet", spy)
    quality(many(), tmp_path)
    assert opened == [f"2023-{month:02d}.parquet" for month in range(1, 5)]


@pytest.mark.realdata
def test_the_real_quarter_keeps_the_contract(tmp_path: Path, realdata: Path) -> None:
    from crimeguard.ingest.source import read_file

    frame = read_file(realdata / "la_2023q1.parquet").frame
    report = measure_quality(
        write_snapshot(frame, tmp_path, source="real"), as_of=dt.date(2026, 1, 1)
    )
    assert report.errors == ()
    assert fired(report)["volume_per_month"].months == ("2023-03", "2023-04")
    assert "placeholder_days" in fired(report)
    assert [month.rows for month in report.months] == [16_529, 14_989, 8_851, 534]
