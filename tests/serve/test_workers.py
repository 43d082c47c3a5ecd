from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from threading import Event

import pytest
from starlette.requests import ClientDisconnect

from crimeguard.serve.problem import BUSY, TOO_LATE, Problem
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


def test_who_waits_too_long_is_told_and_a_job_that_runs_keeps_its_thread(workers: Workers) -> None:
    let = Event()

    async def late() -> int:
        with pytest.raises(Problem) as refused:
            await workers.run(lambda: let.wait(10), seconds=0.05)
        assert refused.value.kind is TOO_LATE
        assert int(refused.value.headers["Retry-After"]) >= 1
        return workers.taken

    try:
        assert asyncio.run(late()) == 1
    finally:
        let.set()


def test_an_answer_in_time_is_no_problem(workers: Workers) -> None:
    assert asyncio.run(workers.run(lambda: 7, seconds=30)) == 7


def test_a_time_out_of_the_job_itself_is_not_the_callers(workers: Workers) -> None:
    def fail() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        asyncio.run(workers.run(fail, seconds=30))


def test_a_job_that_came_too_late_is_not_started(workers: Workers) -> None:
    let, started = Event(), Event()

    async def late() -> None:
        first = asyncio.create_task(workers.run(lambda: let.wait(10)))
        await asyncio.sleep(0.05)
        with pytest.raises(Problem):
            await workers.run(started.set, seconds=0.05)
        assert workers.taken == 1
        let.set()
        await first
        await workers.run(lambda: None)

    asyncio.run(late())
    assert not started.is_set()


@pytest.mark.parametrize("leaves", [True, False])
def test_the_job_of_a_caller_who_has_gone_away_is_not_started(
    workers: Workers, leaves: bool
) -> None:
    let, started = Event(), Event()

    async def ask() -> None:
        async def gone() -> None:
            await asyncio.sleep(0 if leaves else 60)

        first = asyncio.create_task(workers.run(lambda: let.wait(10)))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(workers.run(started.set, gone=gone))
        await asyncio.sleep(0.05)
        let.set()
        await first
        if leaves:
            with pytest.raises(ClientDisconnect):
                await second
        else:
            await second

    asyncio.run(ask())
    assert started.is_set() is not leaves


def test_when_to_ask_again_grows_with_what_waits(workers: Workers) -> None:
    many = Workers("many", threads=1, waiting=3)
    let = Event()

    async def refused() -> int:
        await many.run(lambda: let.wait(1.2))
        jobs = [asyncio.create_task(many.run(lambda: let.wait(10))) for _ in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(Problem) as refusal:
            await many.run(lambda: None)
        let.set()
        await asyncio.gather(*jobs)
        return int(refusal.value.headers["Retry-After"])

    assert asyncio.run(refused()) >= 3
    many.close()
