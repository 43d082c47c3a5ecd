from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crimeguard.cli.options import MOST_BAD
from crimeguard.domain.errors import DataError
from crimeguard.ingest.frame import Reading, canonical
from crimeguard.ingest.quarantine import quarantines
from crimeguard.ingest.source import read_file, read_table
from crimeguard.pipeline import prepare
from crimeguard.validate import limits
from crimeguard.validate.sift import readable, require_few, sift

ROWS = 300
AS_OF = dt.date(2026, 1, 1)  # some of the simulated incidents are reported years later

# What is done to a row of an export, and by which check it is caught; None: by none.
DAMAGES: Mapping[str, tuple[dict[str, str], str | None]] = {
    "no time of day": ({"TIME OCC": "2561"}, "readable_values"),
    "a word for a date": ({"DATE OCC": "yesterday"}, "readable_values"),
    "no such day": ({"Date Rptd": "02/30/2023"}, "readable_values"),
    "a word for an area": ({"AREA": "Central"}, "readable_values"),
    "an age of 130": ({"Vict Age": "130"}, "readable_values"),
    "a place in France": ({"LAT": "48.85"}, "readable_values"),
    "two faults": ({"Vict Age": "old", "TIME OCC": "noon"}, "readable_values"),
    "neither when": ({"DATE OCC": ""}, "readable_values"),
    "area out of range": ({"AREA": "99", "Rpt Dist No": "9901"}, "area_known"),
    "crime code in no table": ({"Crm Cd": "999"}, "crm_cd_known"),
    "no crime code": ({"Crm Cd": ""}, "crm_cd_present"),
    "no number": ({"DR_NO": ""}, "dr_no_present"),
    "reported before it happened": ({"Date Rptd": "01/01/2001"}, "reported_after_occurrence"),
    "in the future": ({"DATE OCC": "01/01/2090", "Date Rptd": "01/02/2090"}, "date_occ_in_range"),
    "a premise in no table": ({"Premis Cd": "99999"}, None),
    "an unknown age": ({"Vict Age": "-1"}, None),
    "lost zeros": ({"TIME OCC": "45"}, None),
}


@pytest.fixture(scope="module")
def export(exported: pl.DataFrame) -> pl.DataFrame:
    return exported.head(ROWS)


def damaged(export: pl.DataFrame, at: Mapping[int, dict[str, str]]) -> pl.DataFrame:
    rows = export.to_dicts()
    for row, changes in at.items():
        rows[row].update(changes)
    return pl.DataFrame(rows, schema=export.schema)


def stored(frame: pl.DataFrame, folder: Path, **options: Any) -> tuple[Any, list[Any]]:
    """Prepare a frame as a CSV with quarantine; return the snapshot and what it did not take."""
    file = folder / "rows.csv"
    frame.write_csv(file)
    home = folder / "home"
    kept = prepare(file, home, quarantine=True, most_bad=1.0, **options).snapshot
    return kept, quarantines(home, kept.id)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_row_goes_into_quarantine_as_it_came(
    damage: str, export: pl.DataFrame, tmp_path: Path
) -> None:
    changes, check = DAMAGES[damage]
    frame = damaged(export, {17: changes})
    kept, found = stored(frame, tmp_path)
    manifest = kept.manifest
    assert manifest["rows_in"] == ROWS == kept.rows + manifest["quarantined"]
    if check is None:
        assert found == []
        assert manifest["quarantined"] == 0
        return
    (quarantine,) = found
    assert quarantine.checks[check] == 1
    assert (quarantine.rows, quarantine.rows_in, manifest["quarantined"]) == (1, ROWS, 1)
    (line,) = quarantine.scan().collect().to_dicts()
    assert line["row"] == 18
    assert check in line["checks"]
    assert len(line["reasons"]) >= len(changes) - (check != "readable_values")
    assert line["came"] == read_table(tmp_path / "rows.csv").row(17, named=True)
    assert frame["DR_NO"][17] not in kept.frame()["dr_no"]


def test_good_rows_make_the_same_snapshot_with_quarantine_and_without(
    export: pl.DataFrame, tmp_path: Path
) -> None:
    bad = damaged(export, {4: {"AREA": "99", "Rpt Dist No": "9901"}, 9: {"Vict Age": "old"}})
    kept, _ = stored(bad, tmp_path)
    good = export.with_row_index("n").filter(~pl.col("n").is_in([4, 9])).drop("n")
    good.write_csv(tmp_path / "good.csv")
    assert prepare(tmp_path / "good.csv", tmp_path / "other").snapshot.id == kept.id


def test_rows_that_contradict_each_other_all_go_and_repeats_of_them_too(
    export: pl.DataFrame, tmp_path: Path
) -> None:
    twin = damaged(export, {3: {"Cross Street": "ELM"}, 5: {"Cross Street": "OAK"}}).slice(3, 3)
    assert twin.row(0) != export.row(3)
    frame = pl.concat([export, twin, export.slice(7, 2), export.slice(5, 1)])
    kept, (quarantine,) = stored(frame, tmp_path)
    # Rows 3 and 5 each with their twin, and the repeat of 5; 4, 7 and 8 came twice.
    assert quarantine.checks == {"dr_no_unique": 5}
    assert kept.manifest["duplicates_removed"] == 3
    assert kept.manifest["rows_in"] == ROWS + 6 == kept.rows + 5 + 3


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    damages=st.dictionaries(
        st.integers(0, ROWS - 1),
        st.lists(st.sampled_from(sorted(DAMAGES)), min_size=1, max_size=3),
        max_size=40,
    ),
    again=st.lists(st.integers(0, ROWS - 1), max_size=10),
)  # fmt: skip
def test_nothing_is_lost_whatever_the_damage(
    damages: dict[int, list[str]], again: list[int], export: pl.DataFrame,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("damaged")
    merged = {
        row: {name: value for damage in chosen for name, value in DAMAGES[damage][0].items()}
        for row, chosen in damages.items()
    }
    frame = damaged(export, merged)
    frame = pl.concat([frame, frame[again]])
    kept, found = stored(frame, folder)
    raw = read_table(folder / "rows.csv")
    quarantined = pl.concat([item.scan().collect() for item in found]) if found else None
    rows = [] if quarantined is None else (quarantined["row"] - 1).to_list()
    # The rows that came are exactly those kept, those in quarantine, and exact repeats.
    taken = canonical(raw.with_row_index("n").filter(~pl.col("n").is_in(rows)).drop("n")).frame
    assert taken.unique().select(kept.columns).sort("dr_no").equals(kept.frame().sort("dr_no"))
    assert raw.height == kept.rows + len(rows) + (taken.height - taken.unique().height)
    if quarantined is not None:
        assert [*quarantined["came"]] == [raw.row(row, named=True) for row in rows]
        assert all(line["checks"] and line["reasons"] for line in quarantined.to_dicts())


def test_what_the_contract_only_warns_of_is_kept(export: pl.DataFrame) -> None:
    reading = canonical(damaged(export, {2: {"Premis Cd": "99999"}, 3: {"Mocodes": "9999"}}))
    assert sift(reading, as_of=AS_OF).faults.height == 0


def test_a_share_that_makes_an_error_quarantines_its_rows(export: pl.DataFrame) -> None:
    """One district in the wrong area among 300 is more than the contract's 0.1 %."""
    sifted = sift(canonical(damaged(export, {8: {"AREA": "01", "Rpt Dist No": "2101"}})),
                  as_of=AS_OF)  # fmt: skip
    assert sifted.faults["check"].to_list() == ["district_in_area"]
    assert sifted.rows == {8}


def test_many_bad_rows_are_another_kind_of_file(export: pl.DataFrame, tmp_path: Path) -> None:
    file, home = tmp_path / "rows.csv", tmp_path / "home"
    damaged(export, {row: {"Crm Cd": "999"} for row in range(16)}).write_csv(file)
    with pytest.raises(DataError, match=r"16 of 300 rows.*5\.3%.*crm_cd_known 16") as refused:
        prepare(file, home, quarantine=True)
    assert "--most-bad" in refused.value.fix
    assert not (home / "snapshots").exists()
    assert not (home / "quarantine").exists()
    assert prepare(file, home, quarantine=True, most_bad=0.06).quarantined == 16


def test_a_bad_row_goes_also_where_nothing_says_why() -> None:
    frame = pl.DataFrame({"dr_no": ["1", "2", "3"]})
    found = readable(Reading(frame, bad_rows=frozenset({0, 2})))
    assert found.frame["dr_no"].to_list() == ["2"]
    assert found.rows == {0, 2}


def test_the_limit_is_silent_at_its_edge(export: pl.DataFrame) -> None:
    sifted = readable(canonical(damaged(export, {row: {"AREA": "x"} for row in range(15)})))
    require_few(sifted, ROWS, limits.QUARANTINE_MOST, "x")
    with pytest.raises(DataError):
        require_few(sifted, ROWS - 1, limits.QUARANTINE_MOST, "x")
    assert limits.QUARANTINE_MOST == MOST_BAD


def test_dropped_rows_are_in_quarantine_and_broken_rules_still_refuse(
    export: pl.DataFrame, tmp_path: Path
) -> None:
    file, home = tmp_path / "rows.csv", tmp_path / "home"
    damaged(export, {1: {"Vict Age": "old"}}).write_csv(file)
    kept = prepare(file, home, drop_bad=True)
    assert kept.quarantined == kept.snapshot.manifest["quarantined"] == 1
    assert quarantines(home, kept.snapshot.id)[0].checks == {"readable_values": 1}
    damaged(export, {1: {"Vict Age": "old"}, 2: {"Crm Cd": "999"}}).write_csv(file)
    with pytest.raises(DataError, match="crm_cd_known") as refused:
        prepare(file, tmp_path / "other", drop_bad=True)
    assert "--on-bad quarantine" in refused.value.fix


def test_the_report_tells_what_went_into_quarantine(export: pl.DataFrame, tmp_path: Path) -> None:
    frame = damaged(export, {1: {"Vict Age": "old"}, 2: {"Crm Cd": "999"}})
    frame.write_csv(tmp_path / "rows.csv")
    report = prepare(tmp_path / "rows.csv", tmp_path / "home", quarantine=True).report
    assert report is not None
    assert report.ok
    told = {item.check: item for item in report.warnings}
    for check in ("readable_values", "crm_cd_known"):
        assert told[check].count == 1
        assert "quarantine" in told[check].meaning
    assert "crm_cd_known" not in report.passed
    page = (tmp_path / "home" / "reports" / "validation.html").read_text()
    assert "They are in quarantine." in page


@pytest.mark.parametrize("break_it", [
    lambda frame: frame.drop("Date Rptd"),  # a column that every use needs
    lambda frame: frame.with_columns(pl.col("Crm Cd").alias("Premis Cd")),  # leaks the answer
], ids=["column", "leak"])  # fmt: skip
def test_what_is_wrong_with_the_whole_file_is_still_refused(
    break_it: Callable[[pl.DataFrame], pl.DataFrame], exported: pl.DataFrame, tmp_path: Path
) -> None:
    break_it(exported).write_csv(tmp_path / "rows.csv")
    with pytest.raises(DataError, match="does not keep the data contract"):
        prepare(tmp_path / "rows.csv", tmp_path / "home", quarantine=True)
    assert not (tmp_path / "home" / "snapshots").exists()


def test_the_same_good_rows_from_two_files_keep_both_quarantines(
    export: pl.DataFrame, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    names = []
    for name, value in (("a", "old"), ("b", "older")):
        file = tmp_path / f"{name}.parquet"
        damaged(export, {1: {"Vict Age": value}}).write_parquet(file)
        names.append(prepare(file, home, quarantine=True).snapshot.id)
    assert names[0] == names[1]
    found = quarantines(home, names[0])
    assert {item.source for item in found} == {"a.parquet", "b.parquet"}
    raw = {item.scan().collect()["came"][0]["Vict Age"] for item in found}
    assert raw == {"old", "older"}
    assert read_file(tmp_path / "a.parquet").frame.height == ROWS
    assert json.loads(found[0].path.with_suffix(".json").read_text())["snapshot"] == names[0]
