from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.experiments import simulate

from crimeguard.evaluate.betting import Mode, threshold_of
from crimeguard.evaluate.experiment import Arm, Outcomes, judge_experiment
from crimeguard.evaluate.experiment_plan import METHODS, Method, Plan, make_plan

# Of 200 experiments, with a chance of 99.9 %: at most so many at 5 %, at least so many at 80 %.
MOST_FALSE, LEAST_FOUND = 21, 142
DESIGNS: list[tuple[Mode, float]] = [("shadow", 0.0), ("split", 0.5)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("mode", "share"), DESIGNS)
def test_power_and_false_positives_are_as_stated(mode: Mode, share: float, method: Method) -> None:
    """200 equal and 200 truly better challengers, looked at all the time, with a fixed seed."""
    plan = make_plan(mode, share, method=method, effect=0.05)
    equal = simulate(mode, share, plan, 0.0, 200, seed=11)
    assert (equal.better | equal.worse).sum() <= MOST_FALSE
    better = simulate(mode, share, plan, plan.effect, 200, seed=12)
    assert better.better.sum() >= LEAST_FOUND
    worse = simulate(mode, share, plan, -plan.effect, 200, seed=13)
    assert worse.worse.sum() >= LEAST_FOUND
    assert better.worse.sum() + worse.better.sum() <= 4


def test_a_fixed_test_that_is_peeked_at_would_not_keep_its_word() -> None:
    """Why there are two tests: the level of the one holds for one look only."""
    rng = np.random.default_rng(3)
    pairs = rng.choice([-1.0, 0.0, 1.0], p=[0.05, 0.9, 0.05], size=(200, 2_000))
    lead, apart = pairs.cumsum(axis=1), np.abs(pairs).cumsum(axis=1)
    score = np.abs(lead) / np.sqrt(np.maximum(apart, 1))
    assert (score[:, 100:] >= 1.96).any(axis=1).sum() > 2 * MOST_FALSE


def shadow(won: int, lost: int, both: int, neither: int) -> Outcomes:
    """Incidents in an order that chance has made."""
    old = np.repeat([0.0, 1.0, 1.0, 0.0], [won, lost, both, neither])
    new = np.repeat([1.0, 0.0, 1.0, 0.0], [won, lost, both, neither])
    order = np.random.default_rng(1).permutation(len(old))
    return Outcomes("shadow", 0.0, old[order], new[order], 1 - old[order], 2 - new[order])


def split(old: tuple[int, int], new: tuple[int, int], share: float = 0.5) -> Outcomes:
    """`old` and `new` are the numbers of right and of wrong answers."""
    right = np.repeat([1.0, 0.0, 1.0, 0.0], [*old, *new])
    asked = np.repeat([False, False, True, True], [*old, *new])
    order = np.random.default_rng(1).permutation(len(right))
    right, asked = right[order], asked[order]
    first, second = np.where(asked, np.nan, right), np.where(asked, right, np.nan)
    return Outcomes("split", share, first, second, 1 - first, 1 - second)


PLAN = Plan(horizon=1_000)
FIXED = replace(PLAN, method="fixed")


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        (shadow(90, 30, 700, 100), "better"),
        (shadow(30, 90, 700, 100), "worse"),
        (shadow(40, 40, 700, 100), "undecided"),
        (shadow(50, 50, 800, 100), "inconclusive"),
        (split((600, 400), (800, 200)), "better"),
        (split((800, 200), (600, 400)), "worse"),
        (split((300, 100), (300, 100)), "undecided"),
        (split((400, 100), (400, 100)), "inconclusive"),
    ],
)
def test_each_verdict_is_found(outcomes: Outcomes, verdict: str) -> None:
    found = judge_experiment(outcomes, PLAN)
    assert found.verdict == verdict
    assert found.estimate is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.estimate <= found.high
    assert (found.low > 0) == (verdict == "better")
    assert (found.high < 0) == (verdict == "worse")
    assert (found.decided_at is not None) == (verdict in ("better", "worse"))
    assert found.threshold == threshold_of(0.05)
    assert found.missing == max(0, 1_000 - len(outcomes))


def test_a_verdict_once_reached_stays() -> None:
    first, then = shadow(80, 20, 300, 0), shadow(0, 70, 300, 0)
    joined = Outcomes("shadow", 0.0, *(
        np.concatenate([getattr(first, name), getattr(then, name)])
        for name in ("champion", "challenger", "champion_loss", "challenger_loss")
    ))  # fmt: skip
    early, late = judge_experiment(first, PLAN), judge_experiment(joined, PLAN)
    assert early.verdict == late.verdict == "better"
    assert early.decided_at == late.decided_at
    assert late.better is not None
    assert late.better < threshold_of(0.05)
    assert late.low is not None
    assert late.low < 0


def test_the_order_changes_when_but_not_how_strong_the_evidence_is() -> None:
    one = shadow(60, 30, 500, 0)
    back = Outcomes("shadow", 0.0, one.champion[::-1], one.challenger[::-1],
                    one.champion_loss, one.challenger_loss)  # fmt: skip
    assert judge_experiment(one, PLAN).better == pytest.approx(judge_experiment(back, PLAN).better)


def test_the_fixed_test_says_nothing_before_the_horizon_and_uses_no_more() -> None:
    few = judge_experiment(shadow(90, 10, 800, 0), FIXED)
    assert (few.verdict, few.missing, few.p_value, few.estimate) == ("undecided", 100, None, None)
    outcomes = shadow(90, 45, 800, 200)
    found = judge_experiment(outcomes, FIXED)
    assert (found.verdict, found.decided_at, found.missing) == ("better", 1_000, 0)
    assert found.p_value is not None
    assert found.p_value < 0.05
    assert judge_experiment(outcomes.first(1_000), FIXED).estimate == found.estimate
    none = judge_experiment(shadow(50, 50, 900, 0), FIXED)
    assert none.verdict == "inconclusive"
    assert none.p_value == pytest.approx(1.0)
    worse = judge_experiment(split((450, 50), (350, 150)), FIXED)
    assert worse.verdict == "worse"
    assert worse.high is not None
    assert worse.high < 0


def test_each_arm_is_told_with_its_log_loss() -> None:
    found = judge_experiment(shadow(10, 5, 80, 5), PLAN)
    assert found.champion == Arm(100, 0.85, pytest.approx(0.15))  # type: ignore[arg-type]
    assert found.challenger == Arm(100, 0.9, pytest.approx(1.1))  # type: ignore[arg-type]
    assert found.estimate == pytest.approx(0.05)
    assert found.discordance == pytest.approx(0.15)
    found = judge_experiment(split((30, 10), (5, 5)), PLAN)
    assert (found.champion.rows, found.challenger.rows) == (40, 10)
    assert found.discordance is None


@pytest.mark.parametrize("plan", [PLAN, FIXED, replace(FIXED, horizon=4)])
def test_no_labels_or_those_of_one_arm_are_no_verdict(plan: Plan) -> None:
    empty = np.zeros(0)
    nothing = judge_experiment(Outcomes("shadow", 0.0, empty, empty, empty, empty), plan)
    assert (nothing.verdict, nothing.labelled, nothing.estimate) == ("undecided", 0, None)
    alone = judge_experiment(split((3, 1), (0, 0)), plan)
    assert alone.estimate is None
    assert alone.verdict in ("undecided", "inconclusive")
    assert alone.challenger == Arm(0, None, None)


def test_very_many_labels_are_looked_at_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = shadow(90, 30, 700, 100)
    exact = judge_experiment(outcomes, PLAN)
    monkeypatch.setattr("crimeguard.evaluate.experiment._MOST_LOOKS", 40)
    found = judge_experiment(outcomes, PLAN)
    assert found.better == exact.better
    assert found.decided_at is not None
    assert exact.decided_at is not None
    assert 0 <= found.decided_at - exact.decided_at <= 2 * 920 // 40
