"""The prediction log: what was answered, committed before the answer leaves.

One thread writes. While it waits for the disk, what arrives gathers and goes into the next
transaction together, so many answers share one wait.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Thread
from types import TracebackType
from typing import Final, Protocol, Self

from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from crimeguard.domain.errors import RecordsError
from crimeguard.records.database import Database
from crimeguard.records.entry import Entry
from crimeguard.records.insert import write

log = logging.getLogger(__name__)

_GROUP: Final = 4_096  # rows of one transaction; a long batch lets others in between
_FEW: Final = 64  # rows of a submission that goes before longer ones
_MOST_WAITING: Final = 1_000_000  # rows


class Observer(Protocol):
    """What wants to know how the writing goes; called in the writer's thread."""

    def committed(self, rows: int, seconds: float) -> None:
        """Hear of a transaction that is safe."""

    def failed(self) -> None:
        """Hear of a transaction that is not."""


class _Nobody:
    def committed(self, rows: int, seconds: float) -> None:
        """Ignore it."""

    def failed(self) -> None:
        """Ignore it."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for its commit: rows, and for how many seconds the oldest has."""

    rows: int
    seconds: float


@dataclass(slots=True)
class _Submission:
    """Rows that are answered together, and how many of them are written."""

    entries: Sequence[Entry]
    future: Future[None] = field(default_factory=Future)
    written: int = 0
    came: float = field(default_factory=time.monotonic)

    def next(self, most: int) -> Sequence[Entry]:
        return self.entries[self.written : self.written + most]


class PredictionLog:
    """Takes rows from any thread and commits them in groups from one.

    Parameters
    ----------
    database
        Where they go; it stays open when the log is closed.
    most_waiting
        Rows that may wait; beyond it a submission is refused.
    """

    def __init__(self, database: Database, *, most_waiting: int = _MOST_WAITING) -> None:
        self.observer: Observer = _Nobody()
        self._database = database
        self._most_waiting = most_waiting
        self._few: deque[_Submission] = deque()
        self._many: deque[_Submission] = deque()
        # Those that are being written as well, the oldest first.
        self._unsettled: dict[int, _Submission] = {}
        self._waiting = 0
        self._change = Condition()
        self._closing = False
        self._failing = False
        self._thread: Thread | None = None

    @property
    def database(self) -> Database:
        """Where the rows go."""
        return self._database

    @property
    def backlog(self) -> Backlog:
        """What waits now; while the database hangs it grows older and longer."""
        with self._change:
            oldest = next(iter(self._unsettled.values()), None)
            rows = self._waiting
        return Backlog(rows, 0.0 if oldest is None else time.monotonic() - oldest.came)

    def start(self) -> None:
        """Begin to write; what was submitted before is written first."""
        if self._thread is None:
            self._thread = Thread(target=self._run, name="crimeguard-log", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Refuse what comes from now on, write what waits, and end."""
        with self._change:
            self._closing = True
            self._change.notify()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def submit(self, entries: Sequence[Entry]) -> Future[None]:
        """Hand over rows; the future is done once all of them are committed.

        It fails with RecordsError if they cannot be written. Some of the rows may be in the
        log then: nothing was answered, and a log that holds more than was answered is right.
        """
        submission = _Submission(entries)
        with self._change:
            if self._closing or self._waiting >= self._most_waiting:
                why = "The server is ending." if self._closing else "Too many rows wait."
                submission.future.set_exception(_refusal(why))
            elif entries:
                self._queue_of(submission).append(submission)
                self._unsettled[id(submission)] = submission
                self._waiting += len(entries)
                self._change.notify()
            else:
                submission.future.set_result(None)
        return submission.future

    def _run(self) -> None:
        while group := self._gather():
            try:
                self._write(group)
            except Exception:
                # A fault of ours must not leave others waiting for good.
                log.exception("the prediction log failed")
                self._give_up([item for item, _ in group], _refusal("The writer failed."))

    def _gather(self) -> list[tuple[_Submission, Sequence[Entry]]]:
        """Wait for rows and return those of the next transaction; none at the end.

        Who asked for little goes first; long submissions take turns at what room they leave.
        """
        group: list[tuple[_Submission, Sequence[Entry]]] = []
        with self._change:
            while not group:
                self._change.wait_for(lambda: self._few or self._many or self._closing)
                if not (self._few or self._many):
                    break
                group = self._take()
        return group

    def _take(self) -> list[tuple[_Submission, Sequence[Entry]]]:
        group: list[tuple[_Submission, Sequence[Entry]]] = []
        unfinished: list[_Submission] = []
        room = _GROUP
        while room and (queue := self._few or self._many):
            item = queue.popleft()
            if not item.written and not item.future.set_running_or_notify_cancel():
                self._waiting -= len(item.entries)
                del self._unsettled[id(item)]
                continue
            rows = item.next(room)
            room -= len(rows)
            group.append((item, rows))
            if item.written + len(rows) < len(item.entries):
                unfinished.append(item)
        self._many.extend(unfinished)
        return group

    def _queue_of(self, item: _Submission) -> deque[_Submission]:
        return self._few if len(item.entries) <= _FEW else self._many

    def _write(self, group: list[tuple[_Submission, Sequence[Entry]]]) -> None:
        error = self._commit([rows for _, rows in group])
        if error is None:
            self._settle(group)
        elif len(group) == 1 or isinstance(error, OperationalError | InterfaceError):
            self._give_up([item for item, _ in group], self._complain(error))
        else:
            # One of them holds what the database refuses; the others shall not suffer.
            for pair in group:
                self._write([pair])

    def _commit(self, parts: list[Sequence[Entry]]) -> SQLAlchemyError | None:
        began = time.perf_counter()
        try:
            write(self._database, parts)
        except SQLAlchemyError as error:
            self.observer.failed()
            return error
        self.observer.committed(sum(map(len, parts)), time.perf_counter() - began)
        if self._failing:
            log.warning("predictions can be logged again")
            self._failing = False
        return None

    def _complain(self, error: SQLAlchemyError) -> RecordsError:
        """Warn once of what stays wrong."""
        explained = self._database.explain(error)
        level = logging.DEBUG if self._failing else logging.WARNING
        log.log(level, "predictions cannot be logged, so none is answered: %s", explained)
        self._failing = True
        return explained

    def _settle(self, group: list[tuple[_Submission, Sequence[Entry]]]) -> None:
        with self._change:
            for item, rows in group:
                item.written += len(rows)
                self._waiting -= len(rows)
                if item.written == len(item.entries):
                    del self._unsettled[id(item)]
        for item, _ in group:
            if item.written == len(item.entries):
                item.future.set_result(None)

    def _give_up(self, items: list[_Submission], error: RecordsError) -> None:
        with self._change:
            for item in items:
                if self._unsettled.pop(id(item), None) is not None:
                    self._waiting -= len(item.entries) - item.written
                for queue in (self._few, self._many):
                    if item in queue:
                        queue.remove(item)
        for item in items:
            if not item.future.done():
                item.future.set_exception(error)


def _refusal(why: str) -> RecordsError:
    return RecordsError("The prediction log takes nothing more.", why=why, fix="Ask again later.")
