from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from crimeguard.evaluate.comparison import Interval
from crimeguard.evaluate.proposal import Change, change, refusal
from crimeguard.train.nested import Days
from crimeguard.train.params import TuningParams


def days(gains: list[float], count: int = 100) -> tuple[list[Days], list[Days]]:
    """Return two models' losses of days of `count` incidents: the second gains so much each."""
    before: Days = [(count, 150.0 + 10 * place) for place in range(len(gains))]
    after: Days = [(n, loss - gain * n) for (n, loss), gain in zip(before, gains, strict=True)]
    return [before], [after]


def changed(gain: Interval) -> Change:
    return Change(100, 1.5, 1.5 - gain.estimate, gain)


def test_with_days_of_equal_size_it_is_the_paired_interval_of_student() -> None:
    gains = [0.01, 0.03, -0.01, 0.02]
    found = change(*days(gains), 0.95)
    half = t.ppf(0.975, 3) * np.std(gains, ddof=1) / 2
    assert found.gain.estimate == pytest.approx(np.mean(gains))
    assert found.gain.low == pytest.approx(np.mean(gains) - half)
    assert found.gain.high == pytest.approx(np.mean(gains) + half)
    assert found.incidents == 400
    assert found.before - found.after == pytest.approx(found.gain.estimate)


def test_a_large_day_counts_by_its_incidents() -> None:
    before: list[Days] = [[(10, 20.0), (90, 180.0)]]
    after: list[Days] = [[(10, 10.0), (90, 180.0)]]
    assert change(before, after, 0.95).gain.estimate == pytest.approx(0.1)


def test_chance_alone_is_above_zero_about_as_often_as_stated() -> None:
    rng = np.random.default_rng(5)
    lows = [change(*days(list(rng.normal(0, 0.01, 14))), 0.95).gain.low for _ in range(2000)]
    assert 0.015 < np.mean(np.array(lows) > 0) < 0.035


def test_one_day_has_no_interval() -> None:
    found = change(*days([0.5]), 0.95)
    assert found.gain.low == -np.inf
    assert found.to_dict()["gain"] == {"estimate": pytest.approx(0.5), "low": None, "high": None}
    assert "within noise" in refusal(found, TuningParams())


def test_other_days_are_not_compared() -> None:
    with pytest.raises(ValueError, match="the same days"):
        change([[(3, 1.0)]], [[(4, 1.0)]], 0.95)
    with pytest.raises(ValueError, match="the same days"):
        change([[(3, 1.0)]], [[(3, 1.0), (3, 1.0)]], 0.95)


def test_a_clear_gain_is_proposed() -> None:
    assert refusal(changed(Interval(0.02, 0.001, 0.04)), TuningParams()) == ""


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        (Interval(0.02, -0.001, 0.04), "within noise: its 95% interval"),
        (Interval(0.02, 0.0, 0.04), "within noise"),
        (Interval(-0.02, -0.03, -0.01), "within noise"),
        (Interval(0.0008, 0.0002, 0.0012), "below 0.001 nats"),
    ],
)
def test_chance_and_trifles_are_not(gain: Interval, said: str) -> None:
    assert said in refusal(changed(gain), TuningParams())
