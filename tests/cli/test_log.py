from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import polars as pl
import pytest
import typer

from crimeguard.cli import app as program
from crimeguard.cli.log import log
from crimeguard.records.database import Database, open_database
from crimeguard.records.labels import Label, add_labels
from crimeguard.settings import Settings
from tests.cli.world import crimeguard, refused
from tests.records.rows import BUNDLE, entries, kept, write

DAY = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def verbs(monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback()(lambda: None)
    app.command(help=program.help_text(log))(log)
    monkeypatch.setattr(program, "app", app)


@pytest.fixture
def logged(records_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A log of three predictions of 1 March and two of the 2nd."""
    monkeypatch.setenv("CRIMEGUARD_HOME", str(records_settings.home))
    monkeypatch.setenv("CRIMEGUARD_RECORDS_URL", records_settings.records_url)
    database = open_database(records_settings)
    ids = write(database, entries(3, at=DAY), entries(2, at=DAY + dt.timedelta(days=1)))
    add_labels(database, [Label(ids[0], "theft", None, "t")])
    database.close()
    return database


def test_it_tells_what_there_is(logged: Database) -> None:
    told = crimeguard("log")
    assert told.code == 0
    for word in (BUNDLE[:12], "champion", "2026-03-01 00:00"):
        assert word in told.err
    found = json.loads(crimeguard("log", "--json").out)
    assert (found["predictions"], found["labelled"]) == (5, 1)
    assert found["bundles"][0]["bundle"] == BUNDLE
    some = json.loads(crimeguard("log", "--since", "2026-03-02", "--json").out)
    assert some["predictions"] == 2
    none = crimeguard("log", "--until", "2026-03-01")
    assert "no predictions of that time" in none.err


def test_it_becomes_a_file(logged: Database, tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    assert "5 predictions in" in crimeguard("log", "--out", path).err
    assert pl.read_parquet(path).height == 5
    done = crimeguard("log", "--out", path, "--until", "2026-03-02", "--json")
    assert json.loads(done.out) == {"rows": 3, "file": str(path)}
    assert pl.read_parquet(path)["label"].to_list().count("theft") == 1


def test_what_is_old_is_deleted(logged: Database) -> None:
    write(logged, entries(1))
    age = (dt.datetime.now(dt.UTC) - DAY).days
    assert f"0 predictions older than {age + 2} days" in crimeguard("log", "--prune", age + 2).err
    done = crimeguard("log", "--prune", max(1, age - 3), "--json")
    assert json.loads(done.out)["deleted"] == 5
    assert len(kept(logged)) == 1
    logged.close()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--out", "log.csv"], 2),
        (["--prune", "5", "--since", "2026-03-01"], 2),
        (["--prune", "0"], 2),
        (["--since", "yesterday"], 2),
    ],
)
def test_other_calls_are_refused(logged: Database, words: list[str], code: int) -> None:
    refused(crimeguard("log", *words), code)


def test_a_database_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRIMEGUARD_RECORDS_URL", "postgresql://me:hush@127.0.0.1:1/x")
    done = crimeguard("log")
    refused(done, 1, "127.0.0.1:1", "me:***@")
    assert "hush" not in done.err


def test_its_help_begins_with_examples() -> None:
    assert "crimeguard log --prune 400 --json" in crimeguard("log", "--help").out
