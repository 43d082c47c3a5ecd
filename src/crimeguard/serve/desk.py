"""The desk for single incidents: what has gathered is scored in one step, logged as one group.

An incident is scored in a fraction of a millisecond, most of which a second one scored in the
same step does not cost again; to hand it to a thread and back costs more than to score it.
So nothing waits for company: what came in while the event loop was busy goes together, and
under load the groups grow by themselves.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from crimeguard.domain.errors import RecordsError
from crimeguard.domain.prediction import Prediction
from crimeguard.records.entry import Entries, entries_of
from crimeguard.records.identifier import new_ids
from crimeguard.records.prediction_log import PredictionLog
from crimeguard.serve.incident import Request
from crimeguard.serve.problem import BUSY, TOO_LATE, Problem
from crimeguard.serve.remember import no_log
from crimeguard.serve.slot import Predicts
from crimeguard.serve.traffic import Assigned, Traffic

MOST: Final = 64  # incidents of one step: the loop is held up for some two milliseconds


@dataclass(frozen=True, slots=True)
class Answered:
    """One prediction, safe in the log: who made it, and its identifier."""

    prediction: Prediction
    by: Assigned
    identifier: str


@dataclass(slots=True, eq=False)
class _Waiting:
    asked: Request
    text: str
    champion: Predicts
    tell: Tell
    due: float
    scored: bool = False
    told: bool = False


Tell = Callable[[Answered | BaseException], None]


class Desk:
    """Belongs to one event loop; every method is called there.

    Parameters
    ----------
    log
        Where each answer is kept before it leaves; None, for tests, keeps none.
    traffic
        Says who answers which incident.
    most_waiting
        Incidents that may be here at once; one more is refused.
    seconds
        How long an incident may be here.
    """

    def __init__(
        self, log: PredictionLog | None, traffic: Traffic, *, most_waiting: int, seconds: float
    ) -> None:
        self._log = log
        self._traffic = traffic
        self._most_waiting = most_waiting
        self._seconds = seconds
        self._queue: deque[_Waiting] = deque()
        # Those that have not been answered, the oldest first, and between them some that have.
        self._line: deque[_Waiting] = deque()
        self._watching = False
        self._logging = 0  # groups that the log has not confirmed
        self._taken = 0

    @property
    def taken(self) -> int:
        """Incidents that wait, are scored, or wait for the log."""
        return self._taken

    def refusal(self) -> Problem | None:
        """Return what one more incident would be told; None if there is room."""
        if self._taken < self._most_waiting:
            return None
        return Problem(BUSY, f"{self._taken} incidents wait already.",
                       headers={"Retry-After": "1"})  # fmt: skip

    def take(self, champion: Predicts, asked: Request, text: str, tell: Tell) -> None:
        """Score an incident with those that come beside it, and tell once the log has it.

        `tell` gets the prediction, or what went wrong: a Problem 503 without the log, 504
        after the time that it may take. Problem (503): there is no room.
        """
        if refusal := self.refusal():
            raise refusal
        loop = asyncio.get_running_loop()
        item = _Waiting(asked, text, champion, tell, loop.time() + self._seconds)
        if not (self._queue or self._logging):
            loop.call_soon(self._step)
        self._queue.append(item)
        self._line.append(item)
        self._taken += 1
        if not self._watching:
            self._watching = True
            loop.call_at(item.due, self._watch)

    async def answer(self, champion: Predicts, asked: Request, text: str) -> Answered:
        """Return the prediction once the log has it, or raise what `take` would tell."""
        future: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()

        def tell(outcome: Answered | BaseException) -> None:
            if future.done():
                return  # who asked has gone away
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

        self.take(champion, asked, text, tell)
        return await future

    def _settle(self, items: Sequence[_Waiting], outcomes: Iterable[Answered]) -> None:
        for item, outcome in zip(items, outcomes, strict=True):
            self._tell(item, outcome)

    def _fail(self, items: Sequence[_Waiting], error: BaseException) -> None:
        for item in items:
            self._tell(item, error)

    def _tell(self, item: _Waiting, outcome: Answered | BaseException) -> None:
        if item.told:
            return
        item.told = True
        self._taken -= 1
        while self._line and self._line[0].told:
            self._line.popleft()
        item.tell(outcome)

    def _watch(self) -> None:
        """Refuse those that have been here for too long: one timer for all of them."""
        loop = asyncio.get_running_loop()
        while self._line and self._line[0].due <= loop.time():
            item = self._line[0]
            self._tell(item, no_log() if item.scored or self._logging else self._too_late())
        self._watching = bool(self._line)
        if self._watching:
            loop.call_at(self._line[0].due, self._watch)

    def _too_late(self) -> Problem:
        return Problem(TOO_LATE, f"It was not scored within {self._seconds:g} seconds.",
                       headers={"Retry-After": "1"})  # fmt: skip

    def _step(self) -> None:
        # The log writes a group after the other. What would wait for it there waits here, and
        # grows together: half the steps, and half the commits.
        if self._logging:
            return
        group = [self._queue.popleft() for _ in range(min(MOST, len(self._queue)))]
        if self._queue:
            asyncio.get_running_loop().call_soon(self._step)
        for by, items in self._by_variant(item for item in group if not item.told):
            try:
                self._score(by, items)
            except Exception as error:  # noqa: BLE001 -- handed on, not kept
                # Each caller hears of it; the others' groups are not theirs.
                self._fail(items, error)

    def _by_variant(self, items: Iterable[_Waiting]) -> Iterable[tuple[Assigned, list[_Waiting]]]:
        groups: dict[tuple[str, int, str | None], tuple[Assigned, list[_Waiting]]] = {}
        for item in items:
            by = self._traffic.assign(item.champion, item.asked.dr_no or item.text)
            key = (by.variant, id(by.predictor), by.experiment)
            groups.setdefault(key, (by, []))[1].append(item)
        return groups.values()

    def _score(self, by: Assigned, items: list[_Waiting]) -> None:
        predictions = by.predictor.predict([item.asked.incident for item in items])
        for item in items:
            item.scored = True
        ids = new_ids(len(items))
        answers = [
            Answered(prediction, by, identifier)
            for prediction, identifier in zip(predictions, ids, strict=True)
        ]
        if self._log is None:
            self._settle(items, answers)
            return
        loop = asyncio.get_running_loop()
        self._logging += 1
        future = self._log.submit(_rows(by, items, predictions, ids))
        future.add_done_callback(
            lambda done: loop.call_soon_threadsafe(self._logged, items, answers, done)
        )
        if by.experiment is not None and (beside := self._traffic.shadow()):
            loop.call_soon(partial(self._score_beside, beside, items, ids))

    def _logged(
        self, items: Sequence[_Waiting], answers: Iterable[Answered], done: Future[None]
    ) -> None:
        self._logging -= 1
        if self._queue and not self._logging:
            asyncio.get_running_loop().call_soon(self._step)
        error = done.exception()
        if error is None:
            self._settle(items, answers)
        else:
            self._fail(items, no_log() if isinstance(error, RecordsError) else error)

    def _score_beside(self, by: Assigned, items: list[_Waiting], answered: list[str]) -> None:
        predictions = by.predictor.predict([item.asked.incident for item in items])
        assert self._log is not None  # noqa: S101 -- without a log there is no experiment
        # Nobody waits for it: a log that refuses it says so itself.
        ids = new_ids(len(items))
        self._log.submit(_rows(by, items, predictions, ids, answered=answered))


def _rows(
    by: Assigned, items: Sequence[_Waiting], predictions: Sequence[Prediction],
    ids: Sequence[str], *, answered: Sequence[str] | None = None,
) -> Entries:  # fmt: skip
    shares = np.array([list(made.probabilities.values()) for made in predictions])
    return entries_of(
        shares, np.array([made.level for made in predictions], np.int64),
        [item.text for item in items], bundle=by.predictor.bundle.sha256,
        dr_no=[item.asked.dr_no for item in items], variant=by.variant, ids=ids,
        experiment=by.experiment, answered_ids=answered,
    )  # fmt: skip
