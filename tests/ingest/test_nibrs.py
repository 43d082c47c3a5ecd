from __future__ import annotations

import polars as pl

from crimeguard.domain.level import InformationLevel, level_of
from crimeguard.ingest.coded import category_places
from crimeguard.ingest.kept import as_text
from crimeguard.ingest.nibrs import FLAG, LA_NIBRS, as_nibrs
from crimeguard.ingest.portal import Adapted
from tests.ingest import portal_rows

BASE = {"date_occ": "2024-05-01T00:00:00.000", "time_occ": "2130", "area": "12",
        "date_rptd": "2024-05-02T00:00:00.000", "rpt_dist_no": "1241"}  # fmt: skip


def read(*offences: tuple[str, str, str], columns: tuple[str, ...] = ()) -> Adapted:
    """Read rows of case, code and flag."""
    rows = [
        {**BASE, "caseno": case, "nibr_code": code, FLAG: flag, "uniquenibrno": f"{case}{code}{n}"}
        for n, (case, code, flag) in enumerate(offences)
    ]
    return LA_NIBRS.read(as_text(rows, columns or tuple(LA_NIBRS.columns)))


def offences(adapted: Adapted) -> dict[str, tuple[str | None, str | None]]:
    frame = adapted.reading.frame
    return {
        row["dr_no"]: (row["offense"], row["other_offenses"]) for row in frame.iter_rows(named=True)
    }


def test_a_case_is_its_gravest_offence_and_keeps_the_others() -> None:
    found = read(("1", "290", "No"), ("1", "120", "No"), ("1", "13B", "No"), ("2", "23H", ""))
    assert offences(found) == {
        "1": ("nibrs:120", "nibrs:13B nibrs:290"), "2": ("nibrs:23H", None),
    }  # fmt: skip
    assert found.remarks == ("4 offences are 2 cases, each known by its gravest",)


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = [("1", "90Z", "No"), ("1", "240", "No"), ("1", "220", "No")]
    assert offences(read(*rows)) == offences(read(*reversed(rows)))


def test_assaults_are_domestic_violence_where_they_are_flagged() -> None:
    found = offences(read(("1", "13A", "Yes"), ("2", "13b", "yes"), ("3", "13B", "No"),
                          ("4", "290", "Yes")))  # fmt: skip
    assert [found[case][0] for case in "1234"] == [
        "nibrs:13A+dv", "nibrs:13B+dv", "nibrs:13B", "nibrs:290",
    ]  # fmt: skip


def test_without_the_flag_no_assault_is_domestic_violence() -> None:
    columns = tuple(name for name in LA_NIBRS.columns if name != FLAG)
    assert offences(read(("1", "13A", "Yes"), columns=columns)) == {"1": ("nibrs:13A", None)}
    there = dict.fromkeys(columns, "text")
    assert FLAG not in LA_NIBRS.query(there).columns


def test_an_unknown_code_is_seen_and_a_missing_one_is_not_guessed() -> None:
    found = read(("1", "09A", ""), ("1", "99Z", ""), ("2", "", ""), ("3", "", ""), ("3", "220", ""))
    assert offences(found) == {
        "1": ("nibrs:99Z", "nibrs:09A"), "2": (None, None), "3": ("nibrs:220", None),
    }  # fmt: skip
    assert category_places(found.reading.frame).is_null().sum() == 2


def test_simulated_incidents_are_written_in_the_new_coding() -> None:
    export = portal_rows.export(2_000)
    rows = as_nibrs(export)
    assert rows["uniquenibrno"].is_unique().all()
    assert rows["caseno"].n_unique() == 2_000
    assert rows.height > 2_000
    frame = LA_NIBRS.read(rows).reading.require_clean("the rows")
    assert frame.height == 2_000
    assert category_places(frame).null_count() == 0
    assert {"mocodes", "vict_age", "vict_sex", "vict_descent"}.isdisjoint(frame.columns)
    old = export.select(dr_no="DR_NO", area=pl.col("AREA").cast(pl.Int32))
    assert frame.select("dr_no", "area").sort("dr_no").equals(old.sort("dr_no"))


def test_the_weapon_is_the_only_field_of_the_highest_level() -> None:
    """Why a model trained on the old coding is asked at level `call` (decision 0016)."""
    frame = LA_NIBRS.read(as_nibrs(portal_rows.export(50))).reading.frame
    assert level_of(frame.columns) is InformationLevel.REPORT
    assert level_of(frame.drop("weapon_used_cd", "date_rptd").columns) is InformationLevel.CALL
