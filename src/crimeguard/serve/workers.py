"""Threads for everything that computes, so that the event loop never does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

from crimeguard.serve.problem import BUSY, Problem

T = TypeVar("T")


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
        self._room = threads + waiting
        self._taken = 0
        self._lock = Lock()

    @property
    def taken(self) -> int:
        """Jobs that run or wait."""
        return self._taken

    async def run(self, job: Callable[[], T]) -> T:
        """Run `job` in a thread; what it raises is raised here."""
        with self._lock:
            if self._taken >= self._room:
                raise Problem(BUSY, f"{self._taken} requests run or wait already.",
                              headers={"Retry-After": "1"})  # fmt: skip
            self._taken += 1
        # Counted until the job ends: a caller who goes away does not free its thread.
        future = self._pool.submit(job)
        future.add_done_callback(self._release)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Wait for the jobs that run, drop those that wait."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _release(self, _: Future[T]) -> None:
        with self._lock:
            self._taken -= 1
