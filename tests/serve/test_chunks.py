from __future__ import annotations

import os
import sys
import threading

import pytest

from crimeguard.serve import chunks
from crimeguard.serve.chunks import in_chunks


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "ROWS", 10)
    monkeypatch.setattr(chunks, "_FEW", 4)


@pytest.mark.parametrize("cores", [1, 2, 5])
@pytest.mark.parametrize("rows", [0, 1, 4, 5, 19, 20, 21, 333])
def test_every_row_comes_once_and_in_order(
    monkeypatch: pytest.MonkeyPatch, cores: int, rows: int
) -> None:
    monkeypatch.setattr(chunks, "cores", lambda: cores)
    found = list(in_chunks(rows, lambda start, stop: list(range(start, stop))))
    assert [row for _, _, part in found for row in part] == list(range(rows))
    assert all(part == list(range(start, stop)) for start, stop, part in found)
    assert max((stop - start for start, stop, _ in found), default=0) <= 10


def test_cores_work_at_the_same_time_and_few_rows_in_the_callers_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chunks, "cores", lambda: 2)
    meeting = threading.Barrier(2, timeout=10)
    list(in_chunks(20, lambda start, stop: meeting.wait()))
    names = {part for _, _, part in in_chunks(4, lambda *_: threading.current_thread().name)}
    assert names == {threading.current_thread().name}


@pytest.mark.parametrize("cores", [1, 2])
def test_a_failure_ends_the_work(monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    monkeypatch.setattr(chunks, "cores", lambda: cores)
    done: list[int] = []

    def job(start: int, stop: int) -> None:
        done.append(start)
        if start == 10:
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        list(in_chunks(1_000, job))
    assert len(done) < 10
    assert not [t for t in threading.enumerate() if t.name.startswith("crimeguard-chunk")]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows the priority of a thread")
def test_they_stand_back_behind_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "cores", lambda: 2)

    def priority(start: int, stop: int) -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    mine = priority(0, 0)
    assert {part > mine for _, _, part in in_chunks(100, priority)} == {True}
    assert priority(0, 0) == mine
