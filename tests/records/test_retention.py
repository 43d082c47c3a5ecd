from __future__ import annotations

import datetime as dt
import json
import threading
import time
from pathlib import Path

import polars as pl
import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.errors import CrimeGuardError, RecordsError
from crimeguard.records import retention
from crimeguard.records.database import Database
from crimeguard.records.labels import Label, add_labels
from crimeguard.records.ledger import Ledger
from crimeguard.records.retention import EXPORT_SCHEMA, Retention, export_log, prune
from tests.records.rows import BUNDLE, INCIDENT, entries, kept, write
from tests.records.test_labels import stored

NOW = dt.datetime.now(dt.UTC)


def ago(days: float) -> dt.datetime:
    return NOW - dt.timedelta(days=days)


def test_old_predictions_go_with_their_labels_and_the_ledger_stays(database: Database) -> None:
    old = write(database, entries(20, at=ago(11)), entries(5, at=ago(10.1)))
    new = write(database, entries(4, at=ago(9.9)), entries(1))
    add_labels(database, [Label(name, "theft", None, "t") for name in [*old[:3], *new[:2]]])
    Ledger(database).append("alert", who="t", why="t", evidence={}, at=ago(900))
    assert prune(database, 10) == 25
    assert kept(database) == set(new)
    assert stored(database) == 2
    assert len(Ledger(database).entries()) == 1
    assert prune(database, 10) == 0


def test_many_go_in_steps(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_STEP", 10)
    write(database, entries(35, at=ago(3)))
    told: list[int] = []
    assert prune(database, 1, on_progress=told.append) == 35
    assert told == [10, 10, 10, 5]


def test_it_is_done_at_the_start_and_again(database: Database) -> None:
    write(database, entries(3, at=ago(5)))
    thread = Retention(database, 2, every=0.05)
    thread.start()
    _until_empty(database)
    write(database, entries(3, at=ago(5)))
    _until_empty(database)
    thread.close()
    assert "crimeguard-retention" not in {item.name for item in threading.enumerate()}


def test_it_goes_on_after_a_failure(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(database, entries(3, at=ago(5)))
    real, calls = prune, 0

    def fails_once(database: Database, days: int) -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RecordsError("It is away.")
        return real(database, days)

    monkeypatch.setattr(retention, "prune", fails_once)
    thread = Retention(database, 2, every=0.01)
    thread.start()
    _until_empty(database)
    thread.close()
    assert "It is away." in caplog.text


def _until_empty(database: Database) -> None:
    end = time.monotonic() + 20
    while kept(database):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_log_becomes_a_file(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_EXPORTED", 4)
    rows = [*entries(6, at=ago(2)), *entries(4, at=ago(1), dr_no=["7", None, None, None])]
    write(database, rows, entries(1, variant="challenger"))
    add_labels(database, [Label(rows[0].id, "theft", 341, "t")])
    add_labels(database, [Label(rows[0].id, "robbery", 210, "t")])
    path, told = tmp_path / "new" / "log.parquet", list[int]()
    assert export_log(database, path, on_progress=told.append) == 11 == sum(told)
    table = pl.read_parquet(path)
    assert table.schema == EXPORT_SCHEMA
    by_time = sorted(rows, key=lambda row: (row.made_at, row.id))
    assert table["prediction_id"].to_list()[:10] == [row.id for row in by_time]
    assert table["variant"].to_list()[-1] == "challenger"
    first = table.row(0, named=True)
    assert first["bundle"] == BUNDLE
    assert first["information_level"] == "report"
    assert first["prediction"] == by_time[0].category
    assert first[f"p_{first['prediction']}"] == first["confidence"] == by_time[0].confidence
    assert sum(first[f"p_{name}"] for name in CATEGORIES) == pytest.approx(1)
    assert json.loads(first["input"]) == INCIDENT
    assert (first["label"], first["label_code"]) == ("robbery", 210)
    assert first["made_at"] == ago(2)
    assert table["label"].null_count() == 10
    assert table["dr_no"].to_list().count("7") == 1


def test_a_stretch_of_it_becomes_a_file(database: Database, tmp_path: Path) -> None:
    for days in (3, 2, 1):
        write(database, entries(days, at=ago(days)))
    path = tmp_path / "log.parquet"
    assert export_log(database, path, since=ago(2), until=ago(1)) == 2
    assert export_log(database, path, since=ago(2)) == 3
    assert pl.read_parquet(path).height == 3


def test_an_empty_log_is_an_empty_file(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    assert export_log(database, path) == 0
    assert pl.read_parquet(path).schema == EXPORT_SCHEMA


def test_a_failure_on_the_way_leaves_what_was_there(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_EXPORTED", 4)
    write(database, entries(10))
    path = tmp_path / "log.parquet"
    path.write_text("as it was")
    with pytest.raises(RecordsError, match="away"):
        export_log(database, path, on_progress=_fails)
    assert path.read_text() == "as it was"
    assert [item.name for item in tmp_path.iterdir() if "log.parquet" in item.name] == [
        "log.parquet"
    ]
    with pytest.raises(CrimeGuardError, match="cannot be written"):
        export_log(database, path / "below.parquet")


def _fails(rows: int) -> None:
    raise RecordsError("It is away.")


def test_the_file_tells_experiments_and_what_was_scored_beside(
    database: Database, tmp_path: Path
) -> None:
    answered = entries(2, at=ago(1), experiment="e" * 32)
    beside = entries(2, at=ago(1), variant="shadow", experiment="e" * 32,
                     answered_ids=[row.id for row in answered])  # fmt: skip
    write(database, answered, beside)
    add_labels(database, [Label(answered[0].id, "theft", 341, "t")])
    export_log(database, tmp_path / "log.parquet")
    table = pl.read_parquet(tmp_path / "log.parquet")
    assert set(table["experiment"]) == {"e" * 32}
    by_id = {row["prediction_id"]: row for row in table.iter_rows(named=True)}
    for row, shadow in zip(answered, beside, strict=True):
        assert by_id[row.id]["answered_id"] is None
        assert by_id[shadow.id]["answered_id"] == row.id
        assert by_id[shadow.id]["label"] == by_id[row.id]["label"]
    assert table["label"].null_count() == 2
