from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from crimeguard.ingest.quarantine import quarantines
from crimeguard.ingest.snapshot import Snapshot
from tests.cli.world import crimeguard, refused
from tests.validate.test_sift import damaged


@pytest.fixture
def snapshot(exported: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Snapshot:
    """A snapshot of 400 rows, three of which it did not take."""
    monkeypatch.setenv("CRIMEGUARD_HOME", str(tmp_path / "home"))
    file = tmp_path / "rows.csv"
    damaged(exported.head(400), {
        4: {"Vict Age": "old"}, 5: {"Vict Age": "older", "TIME OCC": "x"}, 6: {"Crm Cd": "999"},
    }).write_csv(file)  # fmt: skip
    told = crimeguard("prepare", file, "--on-bad", "quarantine", "--json")
    assert told.code == 0, told.err
    outcome = json.loads(told.out)
    assert (outcome["rows"], outcome["quarantined"]) == (397, 3)
    return Snapshot.load(Path(outcome["path"]))


def test_counts_by_reason_and_the_rows(snapshot: Snapshot) -> None:
    told = json.loads(crimeguard("data", "quarantine", snapshot.id[:8], "--json").out)
    assert (told["snapshot"], told["rows"]) == (snapshot.id, 3)
    assert told["checks"] == {"readable_values": 2, "crm_cd_known": 1}
    assert [line["row"] for line in told["first_rows"]] == [5, 6, 7]
    assert told["first_rows"][1]["came"]["Vict Age"] == "older"
    assert len(told["first_rows"][1]["reasons"]) == 2
    assert told["sources"][0]["source"] == "rows.csv"
    few = json.loads(crimeguard("data", "quarantine", "--json", "--rows", 1).out)
    assert len(few["first_rows"]) == 1
    shown = crimeguard("data", "quarantine", snapshot.path)
    assert (shown.code, shown.out) == (0, "")
    assert f"3 rows are in quarantine beside {snapshot.id}" in shown.err
    assert "rows.csv row 5: Vict Age: 'old' is not an age" in shown.err
    assert "crm_cd is 999" in shown.err


def test_a_csv_that_was_corrected_can_be_prepared(snapshot: Snapshot, tmp_path: Path) -> None:
    file = tmp_path / "out" / "wrong.csv"
    assert crimeguard("data", "quarantine", "--csv", file).code == 0
    rows = pl.read_csv(file, infer_schema=False)
    assert rows["crimeguard_row"].to_list() == ["5", "6", "7"]
    assert rows["crimeguard_checks"].to_list()[2] == "crm_cd_known"
    right = rows.with_columns(
        pl.lit("30").alias("Vict Age"), pl.lit("510").alias("Crm Cd"),
        pl.lit("0900").alias("TIME OCC"),
    )  # fmt: skip
    right.write_csv(file)
    again = crimeguard("prepare", file, "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["rows"] == 3
    assert quarantines(tmp_path / "home", snapshot.id)  # what was there stays


def test_a_snapshot_that_took_all(
    exported: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRIMEGUARD_HOME", str(tmp_path / "home"))
    refused(crimeguard("data", "quarantine"), 1, "There is no snapshot")
    exported.head(300).write_csv(tmp_path / "rows.csv")
    told = json.loads(crimeguard("prepare", tmp_path / "rows.csv", "--json").out)
    assert "quarantined" not in told
    assert f"{told['snapshot']} took every row" in crimeguard("data", "quarantine").err
    empty = json.loads(crimeguard("data", "quarantine", "--json").out)
    assert (empty["rows"], empty["checks"], empty["first_rows"]) == (0, {}, [])
    refused(crimeguard("data", "quarantine", "zz", "--json"), 1, "begin with 'zz'")


def test_too_many_bad_rows_are_refused_and_accepted_by_name(
    exported: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRIMEGUARD_HOME", str(tmp_path / "home"))
    file = tmp_path / "rows.csv"
    damaged(exported.head(300), {row: {"Crm Cd": "999"} for row in range(20)}).write_csv(file)
    told = crimeguard("prepare", file, "--on-bad", "quarantine", "--json")
    refused(told, 1, "20 of 300 rows", "--most-bad")
    told = crimeguard("prepare", file, "--on-bad", "quarantine", "--most-bad", 0.1)
    assert told.code == 0
    assert "20 rows in quarantine; `crimeguard data quarantine" in told.err
