from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from crimeguard.records.database import Database, open_database
from crimeguard.settings import Settings

INSERT = "INSERT INTO thing VALUES (?)"


@pytest.fixture
def things(tmp_path: Path) -> Iterator[Database]:
    database = open_database(Settings(home=tmp_path), patience=0.1)
    database.alone("CREATE TABLE thing (name TEXT PRIMARY KEY)", ())
    yield database
    database.close()


def _kept(path: Path) -> list[str]:
    other = sqlite3.connect(path)
    try:
        return [name for (name,) in other.execute("SELECT name FROM thing ORDER BY name")]
    finally:
        other.close()


def test_a_statement_is_committed_when_it_returns(things: Database, tmp_path: Path) -> None:
    things.alone(INSERT, ("a",))
    things.alone(INSERT, ("b",))
    assert _kept(tmp_path / "records.db") == ["a", "b"]


def test_what_is_refused_is_told_in_the_engines_words_and_is_over(
    things: Database, tmp_path: Path
) -> None:
    things.alone(INSERT, ("a",))
    with pytest.raises(IntegrityError) as refused:
        things.alone(f"{INSERT}, (?)", ("b", "a"))
    assert "b" not in str(refused.value.params)
    things.alone(INSERT, ("c",))
    assert _kept(tmp_path / "records.db") == ["a", "c"]


def test_it_waits_for_another_writer_and_not_for_good(things: Database, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "records.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(OperationalError, match="locked"):
        things.alone(INSERT, ("a",))
    other.execute("COMMIT")
    other.close()
    things.alone(INSERT, ("a",))
    assert _kept(tmp_path / "records.db") == ["a"]


def test_a_file_that_was_removed_takes_no_rows(things: Database, tmp_path: Path) -> None:
    things.alone(INSERT, ("a",))
    for path in tmp_path.glob("records.db*"):
        path.unlink()
    with pytest.raises(OperationalError, match="no such table"):
        things.alone(INSERT, ("b",))
