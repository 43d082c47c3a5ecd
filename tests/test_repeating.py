from __future__ import annotations

import threading

from crimeguard.repeating import Repeating


def test_the_step_is_repeated_until_it_is_closed() -> None:
    third, steps = threading.Event(), []

    def step() -> None:
        steps.append(threading.current_thread().name)
        if len(steps) == 3:
            third.set()

    repeating = Repeating("counting", step, 0.001)
    repeating.start()
    assert third.wait(10)
    repeating.close()
    done = len(steps)
    assert set(steps) == {"crimeguard-counting"}
    assert "crimeguard-counting" not in {thread.name for thread in threading.enumerate()}
    assert len(steps) == done


def test_the_pause_may_change_from_step_to_step() -> None:
    second, pauses = threading.Event(), iter([0.001, 3600.0])
    steps = []

    def step() -> None:
        steps.append(1)
        if len(steps) == 2:
            second.set()

    repeating = Repeating("slowing", step, lambda: next(pauses))
    repeating.start()
    assert second.wait(10)
    repeating.close()  # does not wait for the hour
    assert len(steps) == 2


def test_closing_what_never_began_is_no_error() -> None:
    Repeating("idle", lambda: None, 1.0).close()
