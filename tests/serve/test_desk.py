from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from crimeguard.domain.incident import Incident
from crimeguard.domain.prediction import Prediction
from crimeguard.serve.desk import MOST, Answered, Desk
from crimeguard.serve.incident import read_one
from crimeguard.serve.problem import Problem
from crimeguard.serve.slot import Slot
from crimeguard.serve.traffic import Traffic
from tests.serve.fakes import BrokenPredictor, FakePredictor


class CountingPredictor(FakePredictor):
    """Notes how many incidents came together."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[int] = []

    def predict(self, incidents: Sequence[Incident]) -> list[Prediction]:
        self.groups.append(len(incidents))
        return super().predict(incidents)


def _ask(predictor: FakePredictor, n: int, most_waiting: int = 256) -> list[object]:
    async def ask() -> list[object]:
        desk = Desk(None, Traffic(Slot()), most_waiting=most_waiting, seconds=5.0)
        asked = [read_one({"date_occ": "2023-03-10", "area": 1 + k % 21}) for k in range(n)]
        answers = await asyncio.gather(
            *(desk.answer(predictor, item, str(k)) for k, item in enumerate(asked)),
            return_exceptions=True,
        )
        assert desk.taken == 0
        return list(answers)

    return asyncio.run(ask())


def test_what_comes_together_is_scored_together_and_answered_in_its_place() -> None:
    predictor = CountingPredictor()
    answers = _ask(predictor, 20)
    assert predictor.groups == [20]
    alone = [_ask(FakePredictor(), 20)[k] for k in (0, 7, 19)]
    for place, other in zip((0, 7, 19), alone, strict=True):
        mine = answers[place]
        assert isinstance(mine, Answered)
        assert isinstance(other, Answered)
        assert mine.prediction == other.prediction
    assert len({item.identifier for item in answers if isinstance(item, Answered)}) == 20


def test_a_step_takes_so_many_and_the_next_the_rest() -> None:
    predictor = CountingPredictor()
    answers = _ask(predictor, MOST + 6)
    assert predictor.groups == [MOST, 6]
    assert all(isinstance(item, Answered) for item in answers)


def test_beyond_the_room_callers_are_refused_at_once() -> None:
    answers = _ask(FakePredictor(), 6, most_waiting=4)
    refused = [item for item in answers if isinstance(item, Problem)]
    assert len(refused) == 2
    assert {item.kind.status for item in refused} == {503}
    assert refused[0].headers["Retry-After"] == "1"


def test_a_fault_is_told_to_each_who_waits_for_it() -> None:
    answers = _ask(BrokenPredictor(), 3)
    assert [type(item) for item in answers] == [RuntimeError] * 3


def test_what_is_not_scored_in_time_is_answered_504(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Desk, "_step", lambda _: None)

    async def ask() -> None:
        desk = Desk(None, Traffic(Slot()), most_waiting=4, seconds=0.01)
        asked = read_one({"date_occ": "2023-03-10", "area": 1})
        with pytest.raises(Problem) as refused:
            await desk.answer(FakePredictor(), asked, "")
        assert refused.value.kind.status == 504
        assert desk.taken == 0

    asyncio.run(ask())
