"""Threads for everything that computes, so that the event loop never does."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Final, TypeVar

from starlette.requests import ClientDisconnect, Request

from crimeguard.serve.problem import BUSY, TOO_LATE, Problem

T = TypeVar("T")
_MOST_RETRY: Final = 60  # seconds
_MEMORY: Final = 0.2  # share of the newest job in how long one takes


class Workers:
    """A few threads with a short queue; a job beyond it is refused at once with 503.

    Parameters
    ----------
    threads : int
        Jobs that run at the same time.
    waiting : int
        Jobs that may wait for a thread.
    """

    def __init__(self, name: str, *, threads: int, waiting: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"crimeguard-{name}")
        self._threads = threads
        self._room = threads + waiting
        self._taken = 0
        self._seconds = 0.0  # that a job takes, of late
        self._lock = Lock()

    @property
    def taken(self) -> int:
        """Jobs that run or wait."""
        return self._taken

    def refusal(self) -> Problem | None:
        """Return why one more job is not taken now, None if it is."""
        if self._taken < self._room:
            return None
        return Problem(BUSY, f"{self._taken} requests run or wait already.",
                       headers={"Retry-After": str(self._retry_after())})  # fmt: skip

    async def run(
        self,
        job: Callable[[], T],
        *,
        seconds: float | None = None,
        gone: Callable[[], Awaitable[object]] | None = None,
    ) -> T:
        """Run `job` in a thread; what it raises is raised here.

        Problem 503 if too many wait already, 504 if there is no answer in time. A job that
        nobody waits for any more is not started, ClientDisconnect says so; one that runs
        comes to its end and keeps its thread until then.

        Parameters
        ----------
        seconds
            How long the caller waits; for good without.
        gone
            Returns when the caller has gone away.
        """
        future = self._submit(job)
        waiting = asyncio.wrap_future(future)
        leaving = None if gone is None else asyncio.ensure_future(gone())
        if leaving is not None:
            # A future that is cancelled drops its job, if that has not begun.
            leaving.add_done_callback(lambda _: future.cancel())
        try:
            async with asyncio.timeout(seconds) as limit:
                return await waiting
        except TimeoutError:
            if not limit.expired():
                raise  # it is the job's own
            raise Problem(TOO_LATE, f"There is no answer within {seconds:g} seconds.",
                          headers={"Retry-After": str(self._retry_after())}) from None  # fmt: skip
        except asyncio.CancelledError:
            if leaving is not None and leaving.done():
                raise ClientDisconnect from None
            raise
        finally:
            if leaving is not None:
                leaving.cancel()

    def _submit(self, job: Callable[[], T]) -> Future[T]:
        with self._lock:
            if (problem := self.refusal()) is not None:
                raise problem
            self._taken += 1
        # Counted until the job ends: a caller who goes away does not free its thread.
        future = self._pool.submit(self._timed, job)
        future.add_done_callback(self._release)
        return future

    def close(self) -> None:
        """Wait for the jobs that run, drop those that wait."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _timed(self, job: Callable[[], T]) -> T:
        began = time.monotonic()
        try:
            return job()
        finally:
            took = time.monotonic() - began
            self._seconds += _MEMORY * (took - self._seconds) if self._seconds else took

    def _retry_after(self) -> int:
        """Return the seconds after which about half of what runs and waits is done."""
        seconds = self._seconds * self._taken / self._threads / 2
        return max(1, min(_MOST_RETRY, math.ceil(seconds)))

    def _release(self, _: Future[T]) -> None:
        with self._lock:
            self._taken -= 1


async def gone_away(request: Request) -> None:
    """Return when the caller of a request whose body has been read has gone away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
