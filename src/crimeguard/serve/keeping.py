"""A batch goes into the prediction log while it is scored, and is answered when all is there."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Final, TypeVar

from crimeguard.domain.errors import RecordsError
from crimeguard.records.prediction_log import PredictionLog
from crimeguard.serve import remember
from crimeguard.serve.batch import Batch, Scored, score
from crimeguard.serve.problem import TOO_LATE, Problem
from crimeguard.serve.slot import Predicts
from crimeguard.serve.workers import Workers

T = TypeVar("T")

_PATIENCE: Final = 15.0  # seconds; a database that hangs must not hold its callers for good
_AHEAD: Final = 3  # chunks that are laid out and wait for the log, so that it need not wait


async def run_batch(
    workers: Workers,
    job: Callable[[Callable[[], None]], T],
    *,
    seconds: float,
    gone: Callable[[], Awaitable[object]],
) -> T:
    """Run a job as `Workers.run` does, and let it end early when nobody waits any more.

    Parameters
    ----------
    job
        Is given what it shall call between its steps; that raises then.
    """
    left = threading.Event()

    def check() -> None:
        if left.is_set():
            raise Problem(TOO_LATE, "Nobody waits for the answer any more.")

    try:
        return await workers.run(lambda: job(check), seconds=seconds, gone=gone)
    except BaseException:
        left.set()
        raise


def answered(
    batch: Batch,
    predictor: Predicts,
    log: PredictionLog | None,
    check: Callable[[], None] = lambda: None,
) -> Scored:
    """Score a batch; return once every row of it is committed.

    Blocks, so it belongs in a thread. Problem (503) if the log cannot be written: some of
    the rows may be in it then, which is right, for more may be logged than was answered.

    Parameters
    ----------
    check
        Asked between the chunks; what it raises ends the work.
    """
    with _kept(log) as keep:

        def then(scored: Scored, start: int, stop: int) -> None:
            check()
            keep(scored, start, stop)

        check()
        scored = score(batch, predictor, then=then)
    check()
    return scored


@contextmanager
def _kept(log: PredictionLog | None) -> Iterator[Callable[[Scored, int, int], None]]:
    """Give what submits rows; at the end of the block wait until they are committed."""
    waiting: deque[Future[None]] = deque()

    def keep(scored: Scored, start: int, stop: int) -> None:
        if log is not None:
            waiting.append(log.submit(scored.entries(start, stop)))
            if len(waiting) > _AHEAD:
                _wait(waiting.popleft())

    try:
        yield keep
        while waiting:
            _wait(waiting.popleft())
    finally:
        for future in waiting:
            future.cancel()


def _wait(future: Future[None]) -> None:
    try:
        future.result(timeout=_PATIENCE)
    except (RecordsError, TimeoutError):
        future.cancel()
        raise remember.no_log() from None
