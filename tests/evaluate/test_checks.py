from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from crimeguard.evaluate.checks import Check, run_checks
from crimeguard.evaluate.evaluation import Evaluation, LevelEvaluation
from crimeguard.pipeline import Trained
from crimeguard.train.params import CheckParams

BOUNDS = CheckParams(min_test_rows=100, max_ece=0.05, min_macro_auc=0.9, min_log_loss_gain=0.1,
                     min_coverage=0.85)  # fmt: skip
GOOD: dict[str, Any] = {"accuracy": 0.8, "macro_roc_auc": 0.95, "log_loss": 1.0, "ece": 0.02}
NAN = float("nan")


@pytest.fixture(scope="module")
def good(trained: Trained) -> Evaluation:
    """An evaluation that keeps every bound."""
    levels = {
        label: replace(item, scores=replace(item.scores, **GOOD), coverage=0.9)
        for label, item in trained.evaluation.levels.items()
    }
    return replace(trained.evaluation, rows=5000, base_rate_log_loss=2.4, levels=levels)


def changed(evaluation: Evaluation, level: str, **figures: Any) -> Evaluation:
    item: LevelEvaluation = evaluation.levels[level]
    coverage = figures.pop("coverage", item.coverage)
    new = replace(item, scores=replace(item.scores, **figures), coverage=coverage)
    return replace(evaluation, levels={**evaluation.levels, level: new})


def refused(evaluation: Evaluation) -> list[str]:
    """Return the checks that refuse."""
    return [check.name for check in run_checks(evaluation, BOUNDS) if not check.passed]


def test_all_pass(good: Evaluation) -> None:
    checks = run_checks(good, BOUNDS)
    assert refused(good) == []
    assert len(checks) == 3 + 3 * 3


@pytest.mark.parametrize("level", ["call", "victim", "report"])
@pytest.mark.parametrize(
    ("figures", "name"),
    [
        ({"ece": 0.051}, "calibration error at {}"),
        ({"ece": NAN}, "calibration error at {}"),
        ({"log_loss": 2.31}, "log-loss below the base rates at {}"),
        ({"log_loss": NAN}, "log-loss below the base rates at {}"),
        ({"coverage": 0.84}, "conformal coverage at {}"),
        ({"coverage": NAN}, "conformal coverage at {}"),
    ],
)
def test_each_figure_alone_refuses_at_each_level(
    good: Evaluation, level: str, figures: dict[str, float], name: str
) -> None:
    assert refused(changed(good, level, **figures)) == [name.format(level)]


@pytest.mark.parametrize("value", [0.89, NAN])
def test_the_ranking_alone_refuses(good: Evaluation, value: float) -> None:
    assert refused(changed(good, "report", macro_roc_auc=value)) == ["macro ROC-AUC at report"]
    assert refused(changed(good, "call", macro_roc_auc=value)) == []


def test_too_few_rows_alone_refuse(good: Evaluation) -> None:
    assert refused(replace(good, rows=99)) == ["rows in the hold-out"]
    assert refused(replace(good, rows=100)) == []


def test_a_level_that_was_not_scored_refuses(good: Evaluation) -> None:
    levels = {name: item for name, item in good.levels.items() if name != "report"}
    assert refused(replace(good, levels=levels)) == ["levels scored"]


def test_a_hold_out_without_base_rates_refuses_at_every_level(good: Evaluation) -> None:
    names = refused(replace(good, base_rate_log_loss=NAN))
    assert names == [
        f"log-loss below the base rates at {level}" for level in ("call", "victim", "report")
    ]


def test_figures_on_their_bound_pass() -> None:
    assert Check("a", 0.9, "at least", 0.9).passed
    assert Check("a", 0.9, "at most", 0.9).passed
    assert not Check("a", 0.8999, "at least", 0.9).passed
    assert not Check("a", 0.9001, "at most", 0.9).passed


def test_a_check_says_figure_and_bound() -> None:
    check = Check("calibration error at call", 0.2, "at most", 0.05)
    assert str(check) == "calibration error at call is 0.2, must be at most 0.05"


def test_a_check_is_json_even_when_it_is_not_a_number() -> None:
    plain = json.loads(json.dumps(Check("a", NAN, "at least", 0.9).to_dict(), allow_nan=False))
    assert plain == {"name": "a", "value": None, "kind": "at least", "bound": 0.9, "passed": False}
