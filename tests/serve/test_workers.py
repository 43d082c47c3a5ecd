from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from threading import Event

import pytest

from crimeguard.serve.problem import BUSY, Problem
from crimeguard.serve.workers import Workers


@pytest.fixture
def workers() -> Iterator[Workers]:
    workers = Workers("test", threads=1, waiting=1)
    yield workers
    workers.close()


def test_jobs_run_outside_the_loop(workers: Workers) -> None:
    assert asyncio.run(workers.run(threading.get_ident)) != threading.get_ident()


def test_what_a_job_raises_is_raised_and_its_place_freed(workers: Workers) -> None:
    def fail() -> None:
        raise KeyError("x")

    for _ in range(5):
        with pytest.raises(KeyError):
            asyncio.run(workers.run(fail))
    assert workers.taken == 0


def test_beyond_the_queue_a_job_is_refused_at_once(workers: Workers) -> None:
    let = Event()

    async def three() -> list[object]:
        jobs = [asyncio.create_task(workers.run(lambda: let.wait(10))) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        let.set()
        return await asyncio.gather(*jobs, return_exceptions=True)

    first, second, third = asyncio.run(three())
    assert (first, second) == (True, True)
    assert isinstance(third, Problem)
    assert third.kind is BUSY
    assert third.headers["Retry-After"] == "1"


def test_a_caller_who_goes_away_does_not_free_a_thread(workers: Workers) -> None:
    let = Event()

    async def leave() -> int:
        job = asyncio.create_task(workers.run(lambda: let.wait(10)))
        await asyncio.sleep(0.05)
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)
        return workers.taken

    try:
        assert asyncio.run(leave()) == 1
    finally:
        let.set()
