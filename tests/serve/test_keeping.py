from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from crimeguard.features.columns import Columns, Floats
from crimeguard.records.database import Database
from crimeguard.records.prediction_log import PredictionLog
from crimeguard.serve import chunks
from crimeguard.serve.batch import Batch
from crimeguard.serve.incident import read_one
from crimeguard.serve.keeping import answered, run_batch
from crimeguard.serve.openapi import NAMES_EXAMPLE
from crimeguard.serve.problem import NO_LOG, TOO_LATE, Problem
from crimeguard.serve.workers import Workers
from tests.records.rows import kept
from tests.serve.fakes import FakePredictor

ROWS = 40


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "ROWS", 5)
    monkeypatch.setattr(chunks, "_FEW", 1)


@pytest.fixture
def batch() -> Batch:
    incidents = [read_one({**NAMES_EXAMPLE, "area": 1 + n % 21}).incident for n in range(ROWS)]
    numbers = [str(n) for n in range(ROWS)]
    texts = [f'{{"n":{n}}}' for n in range(ROWS)]
    return Batch(
        Columns.from_incidents(incidents), numbers, texts=lambda start, stop: texts[start:stop]
    )


@pytest.fixture
def log(database: Database) -> Iterator[PredictionLog]:
    with PredictionLog(database) as log:
        yield log


class FailingPredictor(FakePredictor):
    """Fails in the middle of a batch."""

    asked = 0

    def predict_columns(self, columns: Columns) -> Floats:
        self.asked += 1
        if self.asked == 4:
            raise RuntimeError("no")
        return super().predict_columns(columns)


def test_all_rows_are_committed_before_there_is_an_answer(
    batch: Batch, log: PredictionLog, database: Database
) -> None:
    scored = answered(batch, FakePredictor(), log)
    assert kept(database) == set(scored.ids)
    with database.reading() as connection:
        rows = connection.exec_driver_sql("SELECT dr_no, input FROM prediction ORDER BY id")
        assert [tuple(row) for row in rows] == [(str(n), f'{{"n":{n}}}') for n in range(ROWS)]


def test_without_a_log_it_is_scored_all_the_same(batch: Batch) -> None:
    assert answered(batch, FakePredictor(), None).rows == ROWS


def test_a_log_that_closes_in_the_middle_leaves_no_answer(batch: Batch, log: PredictionLog) -> None:
    calls = 0

    def close() -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            log.close()

    with pytest.raises(Problem) as caught:
        answered(batch, FakePredictor(), log, close)
    assert caught.value.kind is NO_LOG


def test_a_model_that_fails_in_the_middle_leaves_no_answer(
    batch: Batch, log: PredictionLog, database: Database
) -> None:
    with pytest.raises(RuntimeError, match="no"):
        answered(batch, FailingPredictor(), log)
    log.close()
    assert len(kept(database)) < ROWS


def test_nobody_waits_so_nothing_more_is_done(batch: Batch) -> None:
    """The caller's time is over while the first chunk is scored: the others are not."""
    predictor, went_on = FakePredictor(), threading.Event()
    ended: list[BaseException] = []

    def job(check: Callable[[], None]) -> None:
        try:
            while True:
                check()
                answered(batch, predictor, None, check)
        except Problem as problem:
            ended.append(problem)
            went_on.set()
            raise

    async def never() -> None:
        await asyncio.Event().wait()

    async def ask(workers: Workers) -> None:
        with pytest.raises(Problem) as caught:
            await run_batch(workers, job, seconds=0.1, gone=never)
        assert caught.value.kind is TOO_LATE
        assert await asyncio.to_thread(went_on.wait, 10)

    workers = Workers("test", threads=1, waiting=1)
    asyncio.run(ask(workers))
    workers.close()
    (problem,) = ended
    assert isinstance(problem, Problem)
    assert problem.kind is TOO_LATE
