from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import polars as pl
import pytest
from optuna.trial import TrialState

from crimeguard.domain.errors import CrimeGuardError
from crimeguard.train.fit import Progress
from crimeguard.train.nested import Days, Fold, Nested, Scorer, nested_splits
from crimeguard.train.params import Params, TuningParams
from crimeguard.train.space import Dimension, present
from crimeguard.train.tune import Plan, Study, Trial, opened

UNTIL = dt.date(2023, 2, 18)
SPACE = (
    Dimension("xgboost.rounds", 40, 200, log=True),
    Dimension("xgboost.learning_rate", 0.03, 0.3, log=True),
    Dimension("neural.l2", 0.0001, 0.01, log=False),
)


@pytest.fixture(scope="module")
def nested(incidents: pl.DataFrame) -> Nested:
    params = replace(Params(), tuning=TuningParams(fold_days=4, confirm_days=6))
    return nested_splits(incidents.filter(pl.col("date_occ") <= UNTIL), UNTIL, params)


@pytest.fixture
def plan(nested: Nested) -> Plan:
    params = replace(Params(), tuning=replace(TuningParams(), startup=2))
    return Plan(params, SPACE, nested, "a snapshot")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tuning" / "trials.db"


def by_formula(fold: Fold, params: Params, progress: Progress) -> Days:
    """Return losses that a formula makes of the parameters: the search, without the fits."""
    progress("fit", 1, 2)
    progress("fit", 2, 2)
    loss = abs(params.xgboost.rounds - 120) / 100 + params.xgboost.learning_rate
    return [(fold.test.height, loss * fold.test.height)]


class Cut:
    """Ends the search in the call of the scorer that is named, and goes on otherwise."""

    def __init__(self, call: int, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.call = call
        self.error = error
        self.calls = itertools.count(1)

    def __call__(self, fold: Fold, params: Params, progress: Progress) -> Days:
        if next(self.calls) == self.call:
            raise self.error
        return by_formula(fold, params, progress)


def found(study: Study) -> list[tuple[dict[str, int | float], list[Days], bool]]:
    return [(item.values, item.folds, item.pruned) for item in study.finished()]


def states(study: Study) -> list[TrialState]:
    return [item.state for item in study._study.get_trials()]


def searched(plan: Plan, file: Path, trials: int = 6, scorer: Scorer = by_formula) -> list[Trial]:
    with opened(plan, file) as study:
        study.run(trials, scorer=scorer)
        return study.finished()


def test_the_same_seed_gives_the_same_trials(plan: Plan, tmp_path: Path) -> None:
    first, again = (searched(plan, tmp_path / name / "t.db") for name in "ab")
    assert [replace(item, ended=0) for item in first] == [replace(item, ended=0) for item in again]
    other = replace(plan, params=replace(plan.params, seed=5))
    values = [item.values for item in searched(other, tmp_path / "c" / "t.db")]
    assert values[0] == first[0].values
    assert all(one != two.values for one, two in zip(values[1:], first[1:], strict=True))


def test_the_first_trial_is_what_is_used_now(plan: Plan, file: Path) -> None:
    odd = replace(plan.params.neural, l2=0.00123456)
    plan = replace(plan, params=replace(plan.params, neural=odd))
    first = searched(plan, file, 1)[0]
    assert first.values == present(plan.params, SPACE)
    assert first.values["neural.l2"] == 0.00123456


def test_trials_stay_in_the_space_with_values_that_people_can_read(plan: Plan, file: Path) -> None:
    trials = searched(plan, file, 7)
    for item in SPACE:
        tried = [trial.values[item.name] for trial in trials]
        assert all(item.low <= value <= item.high for value in tried)
        assert all(value == float(f"{value:.3g}") for value in tried)
        assert all(isinstance(value, int) == item.whole for value in tried)
        assert len(set(tried)) > 4


def test_the_search_finds_what_is_better(plan: Plan, file: Path) -> None:
    trials = searched(plan, file, 12)
    with opened(plan, file) as study:
        best = study.best()
    assert best is not None
    assert best.loss == min(item.loss for item in trials if not item.pruned)
    assert best.loss < 0.25 < 0.3 == pytest.approx(trials[0].loss)


@pytest.mark.parametrize("calls", [[2], [7, 1, 4]])
def test_a_search_that_was_cut_off_goes_on_as_if_it_had_not_been(
    calls: list[int], plan: Plan, tmp_path: Path
) -> None:
    file = tmp_path / "cut" / "t.db"
    seen: list[Trial] = []
    for call in calls:
        with opened(plan, file) as study:
            with pytest.raises(KeyboardInterrupt):
                study.run(6, scorer=Cut(call))
            assert TrialState.RUNNING not in states(study)
            assert study.finished()[: len(seen)] == seen
            seen = study.finished()
    after = searched(plan, file)
    with opened(plan, file) as study:
        assert study.failed() == len(calls)
    alone = searched(plan, tmp_path / "alone" / "t.db")
    assert [(item.values, item.folds, item.pruned) for item in after] == [
        (item.values, item.folds, item.pruned) for item in alone
    ]
    assert after[: len(seen)] == seen


def leave_running(study: Study) -> None:
    study._study.ask()


def leave_waiting(study: Study) -> None:
    study._study.enqueue_trial(present(study.plan.params, SPACE))


def leave_begun(study: Study) -> None:
    """Leave the trial that the first values were drawn from, cut off before any was read."""
    leave_waiting(study)
    leave_running(study)


@pytest.mark.parametrize(
    ("leave", "failed"), [(leave_running, 1), (leave_waiting, 0), (leave_begun, 1)]
)
def test_what_a_kill_leaves_behind_is_put_in_order(
    leave: Callable[[Study], None], failed: int, plan: Plan, tmp_path: Path
) -> None:
    with opened(plan, tmp_path / "cut" / "t.db") as study:
        leave(study)
    with opened(plan, tmp_path / "cut" / "t.db") as study:
        study.run(4, scorer=by_formula)
        assert study.failed() == failed
        assert set(states(study)) <= {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}
        after = found(study)
    searched(plan, tmp_path / "alone" / "t.db", 4)
    with opened(plan, tmp_path / "alone" / "t.db") as study:
        assert found(study) == after


def test_no_more_trials_than_asked_for_and_more_when_asked_again(plan: Plan, file: Path) -> None:
    two = searched(plan, file, 2)
    assert len(two) == 2
    assert searched(plan, file, 2, Cut(1)) == two
    assert searched(plan, file, 1, Cut(1)) == two
    three = searched(plan, file, 3)
    assert (three[:2], len(three)) == (two, 3)


def worse_and_worse() -> Scorer:
    losses = itertools.count(1.0, 0.01)

    def scorer(fold: Fold, params: Params, progress: Progress) -> Days:
        return [(1, next(losses))]

    return scorer


def test_a_trial_that_falls_behind_is_cut_short(plan: Plan, file: Path) -> None:
    trials = searched(plan, file, 5, worse_and_worse())
    assert [item.pruned for item in trials] == [False] * 2 + [True] * 3
    assert [len(item.folds) for item in trials] == [3] * 2 + [1] * 3
    with opened(plan, file) as study:
        assert study.best() == trials[0]


def test_trials_that_are_as_good_are_not_cut_short(plan: Plan, file: Path) -> None:
    trials = searched(plan, file, 5, lambda fold, params, progress: [(10, 12.5)])
    assert not any(item.pruned for item in trials)
    with opened(plan, file) as study:
        assert study.best() == trials[0]


def test_when_the_time_is_up_the_running_trial_ends_at_its_next_step(
    plan: Plan, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count()
    told = SimpleNamespace(monotonic=lambda: float(next(clock)))
    monkeypatch.setattr("crimeguard.train.tune.time", told)
    with opened(plan, file) as study:
        # A trial of three folds asks for the time nine times; this is within the third trial.
        study.run(12, 20.5, scorer=by_formula)
        assert (len(study.finished()), study.failed()) == (2, 1)
        study.run(12, 0.5, scorer=by_formula)
        assert (len(study.finished()), study.failed()) == (2, 2)
    monkeypatch.undo()
    searched(plan, file, 3)
    with opened(plan, file) as study:
        assert (len(study.finished()), study.failed()) == (3, 2)


def test_ctrl_c_in_the_moment_after_a_trial_was_told_keeps_the_trial(
    plan: Plan, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(plan, file) as study:
        tell: Any = study._study.tell

        def told_then_cut(trial: optuna.Trial, *values: Any, **how: Any) -> None:
            tell(trial, *values, **how)
            if values:
                raise KeyboardInterrupt

        monkeypatch.setattr(study._study, "tell", told_then_cut)
        with pytest.raises(KeyboardInterrupt):
            study.run(2, scorer=by_formula)
        assert states(study) == [TrialState.COMPLETE]


def test_an_error_in_a_trial_is_not_swallowed(plan: Plan, file: Path) -> None:
    with opened(plan, file) as study:
        with pytest.raises(ZeroDivisionError):
            study.run(3, scorer=Cut(2, ZeroDivisionError))
        assert states(study) == [TrialState.FAIL]
        assert study.best() is None


def test_steps_and_trials_are_told(plan: Plan, file: Path) -> None:
    steps: list[str] = []
    ended: list[int] = []
    with opened(plan, file) as study:
        study.run(2, scorer=by_formula, on_step=lambda name, done, total: steps.append(name),
                  on_trial=lambda trial: ended.append(trial.number))  # fmt: skip
    assert steps[1] == "trial 1 of 2, fold 1: fit"
    assert steps[-1] == "trial 2 of 2, fold 3: fit"
    assert ended == [0, 1]


def test_the_last_days_are_seen_once_by_the_present_and_by_the_best(plan: Plan, file: Path) -> None:
    seen: list[tuple[str, int]] = []

    def watched(fold: Fold, params: Params, progress: Progress) -> Days:
        seen.append((fold.label, params.xgboost.rounds))
        return by_formula(fold, params, progress)

    searched(plan, file, 6, watched)
    assert plan.nested.confirm.label not in {label for label, _ in seen}
    seen.clear()
    with opened(plan, file) as study:
        best = study.best()
        assert best is not None
        told = study.confirm(best, scorer=watched)
    last = plan.nested.confirm.label
    assert seen == [(last, 100), (last, best.values["xgboost.rounds"])]
    with opened(plan, file) as study:
        assert study.confirm(best, scorer=watched) == told
        assert len(seen) == 2
        study.confirm(study.finished()[1], scorer=watched)
        assert len(seen) == 4


def test_another_plan_is_another_study(plan: Plan, file: Path) -> None:
    others = [
        replace(plan, data="another snapshot"),
        replace(plan, space=SPACE[:2]),
        replace(plan, params=replace(plan.params, seed=1)),
        replace(plan, params=replace(plan.params, linear=replace(plan.params.linear, folds=2))),
        replace(plan, nested=replace(plan.nested, folds=plan.nested.folds[1:])),
    ]
    assert len({plan.name, *(other.name for other in others)}) == 6
    gates = replace(plan.params.gates, max_loss=0.5)
    tuning = replace(plan.params.tuning, min_gain=0.5, confidence=0.8)
    same = replace(plan, params=replace(plan.params, gates=gates, tuning=tuning))
    assert same.name == plan.name
    searched(plan, file, 1)
    with opened(others[0], file) as study:
        assert study.finished() == []


def test_a_file_that_is_no_database_is_a_clear_error(plan: Plan, file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"no database" * 500)
    with pytest.raises(CrimeGuardError, match="cannot be read or kept"), opened(plan, file):
        pass
    assert file.read_bytes() == b"no database" * 500
