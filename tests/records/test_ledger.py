from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from crimeguard.domain.errors import RecordsError
from crimeguard.records.database import Database
from crimeguard.records.ledger import KINDS, Ledger, LedgerEntry

DAY = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)


def test_a_line_comes_back_as_it_was_written(ledger: Ledger) -> None:
    before = dt.datetime.now(dt.UTC)
    written = ledger.append(
        "promotion", subject="a" * 64, who="policy", why="gates passed — café",
        evidence={"accuracy": 0.9, "gates": ["leakage"]}, decision_id="d1",
    )  # fmt: skip
    (found,) = ledger.entries()
    assert found == written
    assert before <= found.at <= dt.datetime.now(dt.UTC)
    assert (found.kind, found.subject, found.who, found.decision_id) == (
        "promotion", "a" * 64, "policy", "d1",
    )  # fmt: skip
    assert found.why == "gates passed — café"
    assert found.evidence == {"accuracy": 0.9, "gates": ["leakage"]}
    assert found.to_dict()["at"] == found.at.isoformat()


def test_evidence_of_any_plain_kind_can_be_kept(ledger: Ledger) -> None:
    evidence: dict[Any, Any] = {
        "score": np.float64(0.5), "counts": np.array([1, 2]), "day": dt.date(2026, 3, 1),
        "nothing": float("nan"), "path": Path("x/y"), "set": {"b", "a"}, 3: "three",
    }  # fmt: skip
    assert ledger.append("gates", who="t", why="t", evidence=evidence).evidence == {
        "score": 0.5, "counts": [1, 2], "day": "2026-03-01", "nothing": None, "path": "x/y",
        "set": ["a", "b"], "3": "three",
    }  # fmt: skip
    with pytest.raises(TypeError):
        ledger.append("gates", who="t", why="t", evidence={"what": object()})


def test_lines_are_found_by_kind_subject_and_time_oldest_first(ledger: Ledger) -> None:
    for day, kind in enumerate(["verdict", "alert", "verdict", "promotion", "verdict"]):
        ledger.append(kind, subject=str(day % 2), who="t", why=str(day), evidence={},
                      at=DAY + dt.timedelta(days=day))  # fmt: skip
    later = DAY + dt.timedelta(days=1)
    assert [e.why for e in ledger.entries()] == ["0", "1", "2", "3", "4"]
    assert [e.why for e in ledger.entries("verdict")] == ["0", "2", "4"]
    assert [e.why for e in ledger.entries({"alert", "promotion"})] == ["1", "3"]
    assert [e.why for e in ledger.entries("verdict", newest=2)] == ["2", "4"]
    assert [e.why for e in ledger.entries(subject="1")] == ["1", "3"]
    assert [e.why for e in ledger.entries(since=later)] == ["1", "2", "3", "4"]
    assert [e.why for e in ledger.entries(until=later)] == ["0"]
    assert ledger.entries(since=later)[0].at == later
    assert ledger.entries([]) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger SET who = 'somebody else'",
        "DELETE FROM ledger",
        "INSERT OR REPLACE INTO ledger SELECT * FROM ledger",
        "TRUNCATE ledger",
    ],
)
def test_the_database_itself_refuses_any_change(
    database: Database, ledger: Ledger, statement: str
) -> None:
    if statement.startswith("TRUNCATE" if database.is_sqlite else "INSERT OR"):
        pytest.skip("this database has no such statement")
    ledger.append("decision", who="t", why="t", evidence={})
    with pytest.raises(RecordsError, match="append-only"), database.writing() as connection:
        connection.execute(text(statement))
    assert [entry.who for entry in ledger.entries()] == ["t"]


def test_numbers_only_grow(ledger: Ledger) -> None:
    numbers = [ledger.append("probe", who="t", why="t", evidence={}).seq for _ in range(5)]
    assert numbers == sorted(set(numbers))


def test_a_wrong_kind_and_a_time_without_a_zone_are_mistakes(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="no kind"):
        ledger.append("rumour", who="t", why="t", evidence={})
    with pytest.raises(ValueError, match="zone"):
        ledger.append("alert", who="t", why="t", evidence={}, at=dt.datetime(2026, 3, 1))  # noqa: DTZ001
    assert ledger.entries() == []
    assert "rollback" in KINDS


def test_a_line_is_added_if_those_before_admit_it(ledger: Ledger) -> None:
    seen: list[list[str]] = []

    def admits(lines: Sequence[LedgerEntry]) -> bool:
        seen.append([line.why for line in lines])
        return len(lines) < 2

    ledger.append("alert", who="t", why="of another kind", evidence={})
    for number in range(3):
        line = ledger.append_if(
            "experiment", admits, who="t", why=str(number), evidence={"n": number},
            subject="s", decision_id="d",
        )  # fmt: skip
        assert (line is None) == (number == 2)
    assert seen == [[], ["0"], ["0", "1"]]
    assert [line.why for line in ledger.entries("experiment")] == ["0", "1"]
    with pytest.raises(ValueError, match="no kind"):
        ledger.append_if("gossip", admits, who="t", why="w", evidence={})


def test_of_several_who_would_be_the_first_one_is(
    open_records: Callable[[], Database],
) -> None:
    ledgers = [Ledger(open_records()) for _ in range(6)]
    barrier = threading.Barrier(len(ledgers))

    def begin(ledger: Ledger) -> bool:
        barrier.wait(10)
        line = ledger.append_if("experiment", lambda lines: not lines, who="t", why="w",
                                evidence={})  # fmt: skip
        return line is not None

    with ThreadPoolExecutor(len(ledgers)) as pool:
        assert sum(pool.map(begin, ledgers)) == 1
    assert len(ledgers[0].entries("experiment")) == 1
