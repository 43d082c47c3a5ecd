"""Work on many rows in chunks on all cores, handed on in order."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from crimeguard.cores import cores

T = TypeVar("T")

ROWS: Final = 8_192  # of one chunk at most
_FEW: Final = 1_024  # too few to be worth a thread of their own
_GIVE_WAY: Final = 10  # of the 19 steps by which a thread can stand back


def in_chunks(rows: int, job: Callable[[int, int], T]) -> Iterator[tuple[int, int, T]]:
    """Yield start, stop and `job(start, stop)` of each chunk, in order.

    On one core, or for few rows, everything happens in the caller's thread; else in a
    thread a core, which run a little ahead. They stand back behind all other threads, so
    that one incident need not wait for the many of a batch.
    """
    threads = cores()
    step = max(_FEW, min(ROWS, -(-rows // threads)))
    bounds = ((start, min(start + step, rows)) for start in range(0, rows, step))
    if threads == 1 or rows <= step:
        for start, stop in bounds:
            yield start, stop, job(start, stop)
        return
    pool = ThreadPoolExecutor(threads, "crimeguard-chunk", initializer=_give_way)
    ahead: deque[tuple[int, int, Future[T]]] = deque()
    try:
        for start, stop in bounds:
            ahead.append((start, stop, pool.submit(job, start, stop)))
            if len(ahead) > threads:
                yield _next(ahead)
        while ahead:
            yield _next(ahead)
    finally:
        pool.shutdown(cancel_futures=True)


def _next(ahead: deque[tuple[int, int, Future[T]]]) -> tuple[int, int, T]:
    start, stop, future = ahead.popleft()
    return start, stop, future.result()


def _give_way() -> None:
    if sys.platform == "linux":  # elsewhere it would be the whole process
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _GIVE_WAY)
