from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from crimeguard.records import identifier
from crimeguard.records.identifier import new_ids


def test_they_are_uuids_of_version_7_and_tell_the_time() -> None:
    before = time.time_ns() // 1_000_000
    (found,) = new_ids(1)
    parsed = uuid.UUID(found)
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert before <= int(found[:12], 16) <= time.time_ns() // 1_000_000 + 1


def test_they_ascend_within_a_call_and_from_call_to_call() -> None:
    found = [name for _ in range(50) for name in new_ids(200)]
    assert found == sorted(set(found))


def test_threads_get_different_ones() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = [name for part in pool.map(new_ids, [500] * 40) for name in part]
    assert len(set(found)) == 20_000


def test_a_clock_that_goes_back_does_not_turn_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    (first,) = new_ids(1)
    monkeypatch.setattr(time, "time_ns", lambda: 1_000_000)
    assert new_ids(1)[0] > first


def test_a_counter_that_is_full_moves_on(monkeypatch: pytest.MonkeyPatch) -> None:
    new_ids(1)
    monkeypatch.setattr(time, "time_ns", lambda: 1_000_000)
    monkeypatch.setattr(identifier._clock, "_next", (1 << 42) - 3)
    found = new_ids(2) + new_ids(2)
    assert found == sorted(set(found))
    assert all(uuid.UUID(name).version == 7 for name in found)


def test_few_and_many_are_written_alike() -> None:
    for count in (0, 1, (1 << 30) - 3, 1 << 41, (1 << 42) - 7):
        counts, tails = range(count, count + 7), bytes(range(28))
        few = identifier._few(1_700_000_000_123, counts, tails)
        assert identifier._many(1_700_000_000_123, counts, tails) == few
        assert uuid.UUID(bytes=few[:16]).version == 7
        assert uuid.UUID(bytes=few[:16]).variant == uuid.RFC_4122


def test_many_ascend() -> None:
    found = new_ids(1) + new_ids(5_000) + new_ids(3)
    assert found == sorted(set(found))
    assert {len(name) for name in found} == {32}
