from __future__ import annotations

import pytest

from crimeguard.serve.limits import Limits, Rate, limits_of
from crimeguard.settings import Settings


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def granted(limits: Limits, tries: int, name: str = "a", own: Rate | None = None) -> int:
    return sum(limits.take(name, own) == 0 for _ in range(tries))


def test_a_burst_passes_and_then_as_many_as_flow_in(clock: Clock) -> None:
    limits = Limits(Rate(2, 5), clock=clock)
    assert granted(limits, 20) == 5
    clock.now += 1.5
    assert granted(limits, 20) == 3
    clock.now += 3_600
    assert granted(limits, 20) == 5


def test_it_says_how_long_to_wait_and_then_lets_pass(clock: Clock) -> None:
    limits = Limits(Rate(0.25, 1), clock=clock)
    assert limits.take("a") == 0
    assert limits.take("a") == 4
    clock.now += 3
    assert limits.take("a") == 1
    clock.now += 1
    assert limits.take("a") == 0


def test_who_keeps_to_the_rate_never_waits(clock: Clock) -> None:
    limits = Limits(Rate(4, 1), clock=clock)
    for _ in range(1_000):
        assert limits.take("a") == 0
        clock.now += 0.25


def test_being_refused_costs_nothing(clock: Clock) -> None:
    limits = Limits(Rate(1, 1), clock=clock)
    assert granted(limits, 500) == 1
    clock.now += 1
    assert granted(limits, 500) == 1


def test_one_caller_does_not_use_up_what_is_anothers(clock: Clock) -> None:
    limits = Limits(Rate(1, 3), clock=clock)
    assert granted(limits, 10, "a") == 3
    assert granted(limits, 10, "b") == 3


def test_no_rate_is_no_limit(clock: Clock) -> None:
    assert granted(Limits(Rate(0), clock=clock), 10_000) == 10_000
    assert len(Limits(Rate(0), clock=clock)) == 0


def test_a_rate_of_ones_own_comes_first(clock: Clock) -> None:
    limits = Limits(Rate(1, 3), clock=clock)
    assert granted(limits, 10, own=Rate(1, 7)) == 7
    assert granted(limits, 10, "b", own=Rate(0)) == 10
    # A rate that is changed while the server runs begins with a full bucket.
    assert granted(limits, 10, own=Rate(1, 2)) == 2


@pytest.mark.parametrize(
    ("rate", "most"), [(Rate(3), 6), (Rate(0.1), 1), (Rate(2.2), 5), (Rate(3, 1), 1)]
)
def test_without_a_burst_two_seconds_worth_may_come_at_once(rate: Rate, most: int) -> None:
    assert rate.most == most


def test_each_process_lets_pass_its_share(clock: Clock) -> None:
    shares = [Limits(Rate(8, 8), processes=4, clock=clock) for _ in range(4)]
    assert [granted(share, 10) for share in shares] == [2] * 4
    clock.now += 1
    assert [granted(share, 10) for share in shares] == [2] * 4


def test_only_who_asked_lately_is_remembered(clock: Clock) -> None:
    limits = Limits(Rate(10, 10), clock=clock)
    for place in range(1_000):
        granted(limits, 3, f"key-{place}")
        clock.now += 0.1
    # Three requests are forgotten after 0.3 seconds.
    assert len(limits) <= 5
    assert granted(limits, 100, "key-0") == 10


def test_the_settings_say_how_many_and_among_how_many_processes() -> None:
    limits = limits_of(Settings(rate_per_second=6, rate_burst=6, workers=3))
    assert granted(limits, 10) == 2
    assert granted(limits_of(Settings()), 1_000) == 1_000
