from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from crimeguard.records.database import open_database
from crimeguard.records.ledger import Ledger
from crimeguard.settings import Settings
from tests.cli.world import crimeguard, refused

A, B = "a" * 64, "b" * 64


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("CRIMEGUARD_HOME", str(tmp_path))
    return Settings.load()


@pytest.fixture
def told_of(empty: Settings) -> None:
    """Version 1 since the 3rd of March, 2 since the last minute of the 10th, 1 since the 12th."""
    database = open_database(empty)
    ledger = Ledger(database)
    for day, hour, kind, subject, version, why in (
        (1, 8, "gates", A, "1", "trained"),
        (3, 9, "promotion", A, "1", "the [red]first[/red]"),
        (10, 12, "verdict", A, None, "drift " * 60),
        (10, 23, "promotion", B, "2", "drift"),
        (12, 0, "rollback", A, "1", "it is worse"),
    ):
        ledger.append(
            kind, subject=subject, who="ada@tests", why=why,
            evidence={} if version is None else {"version": version},
            at=dt.datetime(2023, 3, day, hour, 59 * (hour == 23), tzinfo=dt.UTC),
        )  # fmt: skip
    database.close()


@pytest.mark.parametrize(
    ("day", "version"),
    [
        ("2023-03-02", None), ("2023-03-03", "1"), ("2023-03-09", "1"), ("2023-03-10", "2"),
        ("2023-03-11", "2"), ("2023-03-12", "1"), ("2024-01-01", "1"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("told_of")
def test_what_was_in_production_at_the_end_of_a_day(day: str, version: str | None) -> None:
    told = json.loads(crimeguard("history", "--on", day, "--json").out)
    assert told["on"] == day
    found = told["in_production"]
    assert (found and found["evidence"]["version"]) == version
    words = crimeguard("history", "--on", day).err
    if version is None:
        assert f"nothing was in production on {day}" in words
    else:
        assert f"on {day} version {version} ({found['subject'][:12]})" in words
        assert f"by ada@tests, because: {found['why']}" in words


@pytest.mark.usefixtures("told_of")
def test_all_lines_oldest_first_with_their_evidence() -> None:
    lines = json.loads(crimeguard("history", "--json").out)
    assert [line["kind"] for line in lines] == [
        "gates", "promotion", "verdict", "promotion", "rollback",
    ]  # fmt: skip
    assert lines[1]["evidence"] == {"version": "1"}
    assert lines[1]["at"] == "2023-03-03T09:00:00+00:00"
    newest = json.loads(crimeguard("history", "--newest", "2", "--json").out)
    assert newest == lines[-2:]


@pytest.mark.usefixtures("told_of")
def test_kinds_can_be_chosen() -> None:
    words = ["--kind", "promotion", "--kind", "rollback"]
    lines = json.loads(crimeguard("history", *words, "--json").out)
    assert [line["evidence"]["version"] for line in lines] == ["1", "2", "1"]
    refused(crimeguard("history", "--kind", "rumour"), 2, "'rumour' is none of", "promotion")


@pytest.mark.usefixtures("told_of")
def test_people_get_a_table_in_which_nothing_is_markup() -> None:
    told = crimeguard("history")
    assert (told.code, told.out) == (0, "")
    flat = "".join(told.err.split())
    assert "the[red]first[/red]" in flat
    assert "rollback" in told.err
    assert A[:4] in told.err  # a verdict names no version


def test_an_empty_ledger_is_said(empty: Settings) -> None:
    assert "ledger is empty" in crimeguard("history").err
    assert json.loads(crimeguard("history", "--json").out) == []
    assert json.loads(crimeguard("history", "--on", "2023-03-01", "--json").out) == {
        "on": "2023-03-01", "in_production": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"), [(["--on", "soon"], "not a date"), (["--newest", "0"], "--newest")]
)
def test_a_wrong_call_is_a_usage_error(words: list[str], said: str) -> None:
    refused(crimeguard("history", *words), 2, said)
