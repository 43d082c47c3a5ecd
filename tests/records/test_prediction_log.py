from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from crimeguard.domain.errors import RecordsError
from crimeguard.records.database import Database, open_database
from crimeguard.records.ledger import Ledger
from crimeguard.records.prediction_log import Backlog, PredictionLog
from crimeguard.settings import Settings
from tests.records.postgres import Postgres
from tests.records.rows import entries, kept, write


class Counts:
    """Hears of every transaction."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.failures = 0

    def committed(self, rows: int, seconds: float) -> None:
        assert seconds >= 0
        self.rows.append(rows)

    def failed(self) -> None:
        self.failures += 1


class Held(Database):
    """Begins no transaction before it is let."""

    def hold(self) -> None:
        self.entered = threading.Event()
        self.let = threading.Event()
        self.failure: Exception | None = None

    def _wait(self) -> None:
        self.entered.set()
        assert self.let.wait(10)
        if self.failure is not None:
            raise self.failure

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        self._wait()
        with super().transaction() as connection:
            yield connection

    def alone(self, statement: str, values: Sequence[object]) -> None:
        self._wait()
        super().alone(statement, values)


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    database = Held(f"sqlite:///{tmp_path}/held.db")
    database.hold()
    database.let.set()
    database.migrate()
    database.let.clear()
    database.entered.clear()
    yield database
    database.close()


@pytest.mark.parametrize("number", [1, 7, 120])
def test_what_is_done_is_in_the_database(
    database: Database, open_records: Callable[[], Database], number: int
) -> None:
    rows = entries(number, dr_no=["231200001", *[None] * (number - 1)])
    with PredictionLog(database) as log:
        log.submit(rows).result(timeout=30)
        with open_records().reading() as other:
            found = other.exec_driver_sql("SELECT * FROM prediction ORDER BY id").all()
    assert [tuple(row) for row in found] == [tuple(row) for row in rows]


def test_nothing_is_done_before_it_is_committed(held: Held) -> None:
    with PredictionLog(held) as log:
        future = log.submit(entries())
        assert held.entered.wait(10)
        assert not future.done()
        held.let.set()
        future.result(timeout=10)


def test_what_arrives_meanwhile_shares_the_next_transaction(held: Held) -> None:
    counts = Counts()
    with PredictionLog(held) as log:
        log.observer = counts
        futures = [log.submit(entries())]
        assert held.entered.wait(10)
        futures += [log.submit(entries()) for _ in range(50)]
        held.let.set()
        for future in futures:
            future.result(timeout=10)
    assert counts.rows == [1, 50]


def test_a_long_submission_lets_others_in_between(held: Held) -> None:
    counts = Counts()
    order: list[str] = []
    with PredictionLog(held) as log:
        log.observer = counts
        long = log.submit(entries(25_000))
        assert held.entered.wait(10)
        short = log.submit(entries())
        long.add_done_callback(lambda _: order.append("long"))
        short.add_done_callback(lambda _: order.append("short"))
        held.let.set()
        long.result(timeout=30)
    assert order == ["short", "long"]
    assert sum(counts.rows) == 25_001
    assert max(counts.rows) <= 10_000
    assert len(kept(held)) == 25_001


def test_who_asks_for_little_goes_before_all_long_ones(held: Held) -> None:
    order: list[str] = []

    def note(name: str, _: Future[None]) -> None:
        order.append(name)

    with PredictionLog(held) as log:
        futures = {"first": log.submit(entries())}
        assert held.entered.wait(10)
        for name, rows in (("long", 5_000), ("longer", 6_000), ("short", 1)):
            futures[name] = log.submit(entries(rows))
        for name, future in futures.items():
            future.add_done_callback(partial(note, name))
        held.let.set()
        for future in futures.values():
            future.result(timeout=30)
    assert order == ["first", "short", "long", "longer"]


def test_threads_lose_nothing(database: Database) -> None:
    def client(_: int) -> list[str]:
        ids = []
        for _ in range(20):
            row = entries()
            log.submit(row).result(timeout=30)
            ids.append(row[0].id)
        return ids

    with PredictionLog(database) as log, ThreadPoolExecutor(8) as pool:
        acknowledged = {name for part in pool.map(client, range(8)) for name in part}
    assert len(acknowledged) == 160
    assert kept(database) == acknowledged


def test_closing_writes_what_waits_and_refuses_what_comes(held: Held) -> None:
    log = PredictionLog(held)
    log.start()
    waiting = [log.submit(entries()) for _ in range(20)]
    held.let.set()
    log.close()
    assert all(future.done() and future.exception() is None for future in waiting)
    assert len(kept(held)) == 20
    with pytest.raises(RecordsError, match="ending"):
        log.submit(entries()).result(timeout=1)
    log.close()


def test_nothing_to_write_is_done_at_once(database: Database) -> None:
    assert PredictionLog(database).submit([]).result(timeout=0) is None


def test_too_much_waiting_is_refused_at_once(held: Held) -> None:
    with PredictionLog(held, most_waiting=3) as log:
        taken: list[Future[None]] = [log.submit(entries(2)), log.submit(entries(2))]
        with pytest.raises(RecordsError, match="Too many"):
            log.submit(entries()).result(timeout=0)
        held.let.set()
        for future in taken:
            future.result(timeout=10)
        log.submit(entries()).result(timeout=10)


def test_what_waits_is_counted_and_grows_old_until_it_is_written(held: Held) -> None:
    with PredictionLog(held) as log:
        assert log.backlog == Backlog(0, 0.0)
        first = log.submit(entries(3))
        assert held.entered.wait(10)  # so the first is being written
        second = log.submit(entries(4))
        assert log.backlog.rows == 7
        before = log.backlog.seconds
        time.sleep(0.02)
        assert log.backlog.seconds >= before + 0.02
        held.let.set()
        first.result(10)
        second.result(10)
        assert log.backlog == Backlog(0, 0.0)


def test_what_failed_or_was_given_up_waits_no_more(held: Held) -> None:
    with PredictionLog(held) as log:
        first = log.submit(entries(3))
        assert held.entered.wait(10)
        second, third = log.submit(entries(2)), log.submit(entries(12_000))
        assert second.cancel()
        held.failure = OperationalError("INSERT", None, Exception("away"))
        held.let.set()
        for future in (first, third):
            assert isinstance(future.exception(10), RecordsError)
        assert log.backlog == Backlog(0, 0.0)


def test_who_gave_up_waiting_is_not_written(held: Held) -> None:
    with PredictionLog(held) as log:
        first = log.submit(entries())
        assert held.entered.wait(10)
        given_up = log.submit(entries())
        assert given_up.cancel()
        held.let.set()
        first.result(timeout=10)
    assert len(kept(held)) == 1
    assert log._waiting == 0


def test_a_failure_is_told_to_those_it_meets_and_is_over_when_it_is_over(
    held: Held, caplog: pytest.LogCaptureFixture
) -> None:
    counts = Counts()
    held.let.set()
    held.failure = OperationalError("INSERT", None, sqlite3.OperationalError("disk is full"))
    with PredictionLog(held) as log:
        log.observer = counts
        for _ in range(3):
            with pytest.raises(RecordsError, match="disk is full"):
                log.submit(entries(12_000)).result(timeout=10)
        held.failure = None
        log.submit(entries()).result(timeout=10)
        assert log._waiting == 0
    assert counts.failures == 3
    assert counts.rows == [1]
    told = [record.message for record in caplog.records if record.name.startswith("crimeguard")]
    assert len(told) == 2  # once that it is broken, once that it is well


def test_one_row_that_is_refused_does_not_take_others_with_it(database: Database) -> None:
    good, twice = entries(), entries()
    write(database, twice)
    with PredictionLog(database) as log:
        log._change.acquire()  # so that all three go into one transaction
        try:
            futures = [log.submit(rows) for rows in (good, twice, entries())]
        finally:
            log._change.release()
        futures[0].result(timeout=10)
        with pytest.raises(RecordsError):
            futures[1].result(timeout=10)
        futures[2].result(timeout=10)
    assert len(kept(database)) == 3


def test_a_long_submission_that_is_refused_says_so(database: Database) -> None:
    rows = entries(120)
    with PredictionLog(database) as log:
        with pytest.raises(RecordsError):
            log.submit([*rows, rows[0]]).result(timeout=10)
        log.submit(entries()).result(timeout=10)
    assert len(kept(database)) == 1


def test_a_fault_of_ours_leaves_nobody_waiting(
    held: Held, caplog: pytest.LogCaptureFixture
) -> None:
    held.let.set()
    held.failure = ZeroDivisionError()
    with PredictionLog(held) as log:
        with pytest.raises(RecordsError, match="writer failed"):
            log.submit(entries()).result(timeout=10)
        held.failure = None
        log.submit(entries()).result(timeout=10)
    assert "the prediction log failed" in caplog.text


WRITER = """
import sys
from pathlib import Path
from crimeguard.records.database import open_database
from crimeguard.records.ledger import Ledger
from crimeguard.settings import Settings
database = open_database(Settings(home=Path(sys.argv[1]), records_url=sys.argv[2]))
ledger = Ledger(database)
for number in range(60):
    ledger.append("verdict", who="another process", why=str(number), evidence={})
database.close()
"""


def test_other_processes_write_and_read_at_the_same_time(
    records_settings: Settings, database: Database
) -> None:
    others = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(records_settings.home),
             records_settings.records_url],
            stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    written = 0
    with PredictionLog(database) as log:
        while any(other.poll() is None for other in others):
            log.submit(entries(20)).result(timeout=30)
            written += 20
            assert len(kept(database)) == written
    for other in others:
        _, errors = other.communicate(timeout=30)
        assert other.returncode == 0, errors
    assert len(Ledger(database).entries("verdict")) == 120


def test_a_lock_that_is_held_for_a_while_is_waited_for(tmp_path: Path) -> None:
    database = open_database(Settings(home=tmp_path))
    other = sqlite3.connect(tmp_path / "records.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with PredictionLog(database) as log:
        future = log.submit(entries())
        time.sleep(0.3)
        assert not future.done()
        other.execute("COMMIT")
        future.result(timeout=5)
    other.close()
    database.close()


def test_a_file_that_was_removed_takes_no_rows(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    database = open_database(settings)
    with PredictionLog(database) as log:
        log.submit(entries()).result(timeout=10)
        for path in tmp_path.glob("records.db*"):
            path.unlink()
        with pytest.raises(RecordsError, match="no such table"):
            log.submit(entries()).result(timeout=10)
        open_database(settings).close()  # whoever opens it next makes its tables
        rows = entries()
        log.submit(rows).result(timeout=10)
    assert kept(database) == {rows[0].id}
    database.close()


def test_a_server_that_goes_and_comes_back(postgres: Postgres, tmp_path: Path) -> None:
    database = open_database(Settings(records_url=postgres.new_database()))
    ids: list[str] = []
    with PredictionLog(database) as log:
        for _ in range(2):
            for rows in (entries(), entries(120)):
                log.submit(rows).result(timeout=30)
                ids += [row.id for row in rows]
            postgres.stop()
            try:
                for rows in (entries(), entries(120)):
                    with pytest.raises(RecordsError):
                        log.submit(rows).result(timeout=30)
            finally:
                postgres.start()
        rows = entries()
        log.submit(rows).result(timeout=30)
    assert kept(database) == {*ids, rows[0].id}
    database.close()


def test_probabilities_come_back_to_the_last_bit(database: Database) -> None:
    row = entries()[0]
    write(database, [row])
    with database.reading() as connection:
        packed = connection.exec_driver_sql("SELECT probabilities FROM prediction").scalar()
    assert packed == row.probabilities
    assert np.frombuffer(packed, "<f8").max() == row.confidence
