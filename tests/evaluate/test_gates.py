"""Every gate passes a healthy challenger, and is the only one to refuse one fault."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.evaluate import gates, latency
from crimeguard.evaluate.evaluation import Evaluation
from crimeguard.evaluate.gate import NO_CHAMPION, Case, Contender, GateVerdict
from crimeguard.evaluate.gates import GATES, Judgement, judge
from crimeguard.features.columns import Columns, Floats
from crimeguard.train.fit import targets
from crimeguard.train.model import Model
from tests.evaluate.cases import (
    by_heart,
    challenged,
    every,
    gated,
    make_case,
    second_best,
    sharpened,
    wrapped,
)

NAMES = (
    "contract", "leakage", "floor", "calibration", "coverage", "champion", "slices", "latency",
    "size", "deepchecks",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _few_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "ANSWERS", 12)
    monkeypatch.setattr(latency, "ROUNDS", 3)
    monkeypatch.setattr(latency, "WARM_UP", 3)


def refused(case: Case) -> list[str]:
    """Return the gates that refuse."""
    return list(judge(case).refused)


def verdict(case: Case, gate: str) -> GateVerdict:
    return GATES[gate](case)


def test_these_are_the_gates() -> None:
    assert tuple(GATES) == NAMES


def test_a_healthy_challenger_passes_them_all(healthy: Case) -> None:
    told: list[str] = []
    judgement = judge(healthy, told.append)
    assert judgement.refused == ()
    assert judgement.passed
    assert judgement.why == ""
    assert told == list(NAMES)
    for item in judgement.verdicts:
        assert item.checks or item.gate == "deepchecks", item.gate
        assert item.seconds >= 0


def test_a_judgement_without_one_of_the_gates_is_no_pass(healthy: Case) -> None:
    judgement = judge(healthy)
    for place in range(len(NAMES)):
        verdicts = judgement.verdicts[:place] + judgement.verdicts[place + 1 :]
        assert not replace(judgement, verdicts=verdicts).passed


@pytest.mark.parametrize("where", ["train", "test"])
def test_contract_alone_refuses_rows_without_a_number(healthy: Case, where: str) -> None:
    frame: pl.DataFrame = getattr(healthy, where)
    first = pl.int_range(pl.len()) == 0
    broken = frame.with_columns(dr_no=pl.when(~first).then("dr_no"))
    case = replace(healthy, **cast("dict[str, Any]", {where: broken}))
    assert refused(case) == ["contract"]
    assert "broken rules among the" in verdict(case, "contract").why
    rows = verdict(case, "contract").evidence[0].rows
    assert [row[2] for row in rows if row[1] == "error"] == ["dr_no_present"]


def test_leakage_alone_refuses_a_field_made_from_the_category(healthy: Case) -> None:
    told = pl.Series("cross_street", np.array(CATEGORIES)[targets(healthy.train)])
    case = replace(healthy, train=healthy.train.with_columns(told))
    assert refused(case) == ["leakage"]
    assert "cross_street" in verdict(case, "leakage").evidence[0].rows[0][4]


def test_leakage_alone_refuses_a_hold_out_that_was_trained_on(healthy: Case) -> None:
    case = replace(healthy, train=pl.concat([healthy.train, healthy.test.head(1)]))
    assert refused(case) == ["leakage"]
    assert "incidents both trained on and held out is 1" in verdict(case, "leakage").why
    assert "days from training to the hold-out is 0" in verdict(case, "leakage").why


def test_leakage_alone_refuses_a_model_that_reads_a_forbidden_column(
    healthy: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Peeking(Columns):
        @classmethod
        def from_frame(cls, frame: pl.DataFrame, **how: Any) -> Columns:
            columns = Columns.from_frame(frame, **how)
            return replace(columns, premis_cd=frame["crm_cd"].cast(pl.Int64).to_numpy())

    monkeypatch.setattr(gates, "Columns", Peeking)
    assert refused(healthy) == ["leakage"]
    assert "permuting forbidden columns" in verdict(healthy, "leakage").why


def test_leakage_alone_refuses_a_feature_of_a_forbidden_name(healthy: Case) -> None:
    real = healthy.challenger.model

    class Renamed:
        featurizer = SimpleNamespace(table=SimpleNamespace(names=("hour", "crm_cd_1=510")))
        probabilities = staticmethod(real.probabilities)
        prediction_sets = staticmethod(real.prediction_sets)

    assert refused(challenged(healthy, cast("Model", Renamed()))) == ["leakage"]


def test_floor_alone_refuses_a_hold_out_that_is_too_small(healthy: Case) -> None:
    few = replace(healthy.params.checks, min_test_rows=healthy.test.height + 1)
    case = replace(healthy, params=replace(healthy.params, checks=few))
    assert refused(case) == ["floor"]
    assert "rows in the hold-out" in verdict(case, "floor").why


def test_calibration_alone_refuses_an_over_confident_model(healthy: Case) -> None:
    sure = sharpened(healthy.challenger.model, 1.4)
    # The champion is no better, so that only its own probabilities speak against it.
    assert healthy.champion is not None
    case = challenged(replace(healthy, champion=replace(healthy.champion, model=sure)), sure)
    assert refused(case) == ["calibration"]
    assert "calibration error at call" in verdict(case, "calibration").why


def test_coverage_alone_refuses_sets_that_are_too_small(healthy: Case) -> None:
    model = healthy.challenger.model
    narrow = replace(model, conformal=replace(model.conformal, thresholds=np.full(3, 0.9)))
    case = challenged(healthy, narrow)
    assert refused(case) == ["coverage"]
    assert "conformal coverage at call" in verdict(case, "coverage").why


def test_champion_alone_refuses_a_model_that_is_a_little_worse_everywhere(healthy: Case) -> None:
    case = challenged(healthy, wrapped(healthy.challenger.model, second_best(every(16))))
    assert refused(case) == ["champion"]
    assert "accuracy against the champion, report" in verdict(case, "champion").why


def test_champion_alone_refuses_a_champion_that_has_seen_the_hold_out(healthy: Case) -> None:
    assert healthy.champion is not None
    last = cast("dt.date", healthy.test["date_occ"].min())
    seen = replace(healthy.champion, card={"trained": {"last": str(last)}})
    assert refused(replace(healthy, champion=seen)) == ["champion"]
    unsaid = replace(healthy.champion, card={"trained": {}})
    assert refused(replace(healthy, champion=unsaid)) == ["champion"]
    before = str(last - dt.timedelta(1))
    unseen = replace(healthy.champion, card={"trained": {"last": before}})
    assert refused(replace(healthy, champion=unseen)) == []


def test_slices_alone_refuses_a_model_that_fails_one_area(healthy: Case) -> None:
    largest = healthy.test["area"].value_counts(sort=True)["area"][0]
    model = healthy.challenger.model
    faulty = wrapped(model, second_best(every(6, lambda columns: columns.area == largest)))
    case = challenged(healthy, faulty)
    assert refused(case) == ["slices"]
    rows = verdict(case, "slices").evidence[0].rows
    assert rows[0][1] == "area"
    assert rows[0][-1] == "yes"


def test_latency_alone_refuses_a_model_that_is_slow_by_made_up_times(
    healthy: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How times are taken is in test_latency.py; what a busy machine makes of them varies."""
    most, ratio = (getattr(healthy.params.gates, f"max_latency_{name}") for name in ("ms", "ratio"))

    def take(challenger: float, champion: float) -> None:
        monkeypatch.setattr(gates, "median_milliseconds", lambda *_: [challenger, champion])

    take(most + 1, most)
    assert refused(healthy) == ["latency"]
    take(2 * ratio + 0.1, 2.0)
    assert refused(healthy) == ["latency"]
    assert "times the champion's time" in verdict(healthy, "latency").why
    take(float("nan"), 2.0)
    assert refused(healthy) == ["latency"]
    take(2 * ratio, 2.0)
    assert refused(healthy) == []


@pytest.mark.parametrize("size", [0, 100_000_001])
def test_size_alone_refuses_a_bundle_of_no_size_and_one_of_too_much(
    healthy: Case, size: int
) -> None:
    case = replace(healthy, challenger=replace(healthy.challenger, size_bytes=size))
    assert refused(case) == ["size"]


def test_deepchecks_passes_a_healthy_challenger(healthy: Case) -> None:
    found = verdict(gated(healthy, deepchecks=True), "deepchecks")
    assert found.passed, found.why
    assert len(found.checks) == 7
    assert found.page is not None
    assert found.page.count("plotly.js v") == 1
    assert 'src="http' not in found.page


def test_deepchecks_alone_refuses_a_model_that_learnt_by_heart(healthy: Case) -> None:
    case = challenged(healthy, wrapped(healthy.challenger.model, by_heart(healthy.train)))
    assert refused(gated(case, deepchecks=True)) == ["deepchecks"]


def test_deepchecks_alone_refuses_without_its_environment(healthy: Case) -> None:
    settings = replace(healthy.settings, deepchecks_python="/nowhere/python")
    case = gated(replace(healthy, settings=settings), deepchecks=True)
    assert refused(case) == ["deepchecks"]
    why = verdict(case, "deepchecks").why
    assert "run `make .venv/.deepchecks`, or set gates.deepchecks: false" in why
    assert verdict(gated(case, deepchecks=False), "deepchecks").why.startswith("switched off")


def test_a_first_model_has_nobody_to_be_compared_with(healthy: Case) -> None:
    judgement = judge(replace(healthy, champion=None))
    assert judgement.passed
    waived = [item.gate for item in judgement.verdicts if item.why == NO_CHAMPION]
    assert waived == ["champion", "slices"]
    one = replace(healthy, champion=None, challenger=replace(healthy.challenger, size_bytes=0))
    assert refused(one) == ["size"]


def empty(case: Case) -> Case:
    return gated(
        replace(case, train=case.train.clear(), test=case.test.clear(),
                challenger=replace(case.challenger, size_bytes=0)),
        deepchecks=True,
    )  # fmt: skip


def silent(case: Case) -> Case:
    """A case in which nothing can be asked: no rows, no model, no scores."""
    nothing = cast("Model", None)
    return gated(
        Case(Contender("x", "", nothing, {}, 0), Contender("y", "", nothing, {}, 0),
             cast("pl.DataFrame", None), cast("pl.DataFrame", None),
             cast("Evaluation", None), case.params, case.settings),
        deepchecks=True,
    )  # fmt: skip


@pytest.mark.parametrize("gate", NAMES)
@pytest.mark.parametrize("make", [empty, silent])
def test_every_gate_fails_closed(healthy: Case, gate: str, make: Any) -> None:
    found = verdict(make(healthy), gate)
    assert not found.passed
    assert found.why


def _not_a_number(columns: Columns, shares: Floats) -> Floats:
    return np.where(np.arange(len(shares))[:, None] % 50 == 0, np.nan, shares)


def test_answers_that_are_no_numbers_are_refused_by_whoever_looks_at_them(healthy: Case) -> None:
    model = wrapped(healthy.challenger.model, _not_a_number)
    case = replace(healthy, challenger=replace(healthy.challenger, model=model))
    assert refused(case) == ["leakage", "champion", "slices"]
    assert "not numbers" in verdict(case, "champion").why
    assert "not numbers" in verdict(case, "slices").why


@pytest.mark.parametrize(
    ("gate", "figures"),
    [
        ("floor", {"macro_roc_auc": np.nan}),
        ("floor", {"log_loss": np.nan}),
        ("calibration", {"ece": np.nan}),
    ],
)
def test_a_score_that_is_no_number_is_refused(
    healthy: Case, gate: str, figures: dict[str, float]
) -> None:
    best = healthy.evaluation.levels["report"]
    worse = replace(best, scores=replace(best.scores, **cast("Any", figures)))
    levels = {**healthy.evaluation.levels, "report": worse}
    case = replace(healthy, evaluation=replace(healthy.evaluation, levels=levels))
    assert refused(case) == [gate]


def test_the_evaluation_of_other_rows_is_refused(healthy: Case) -> None:
    case = replace(healthy, evaluation=replace(healthy.evaluation, rows=healthy.test.height - 1))
    assert refused(case) == ["floor", "calibration", "coverage"]


def test_a_judgement_is_json_and_one_page(healthy: Case) -> None:
    rival = replace(healthy.challenger, name="<script>alert(1)</script>", size_bytes=0)
    judgement = judge(replace(healthy, challenger=rival))
    plain = json.loads(json.dumps(judgement.to_dict(), allow_nan=False))
    assert plain["passed"] is False
    assert plain["refused"] == ["size"]
    assert [item["gate"] for item in plain["gates"]] == list(NAMES)
    assert plain["challenger"] == judgement.challenger.sha256
    page = judgement.to_html()
    assert "<script" not in page
    assert "http" not in page.replace("https://", "http").split("<body>")[0]
    assert all(f'id="{name}"' in page for name in NAMES)
    assert "prefers-color-scheme: dark" in page
    assert "bytes of the bundle is 0, must be at least 1" in page
    assert "bytes of the bundle is 0" in judgement.why


def test_what_a_suite_says_of_its_own_is_linked(healthy: Case) -> None:
    judgement = judge(healthy)
    paged = [replace(item, page="<html>") for item in judgement.verdicts[-1:]]
    page = Judgement(judgement.challenger, None, tuple(paged)).to_html()
    assert 'href="deepchecks.html"' in page


def test_the_champion_is_asked_at_the_levels_that_were_evaluated(healthy: Case) -> None:
    hidden = healthy.test.drop("mocodes", "weapon_used_cd")
    case = make_case(
        healthy.challenger, healthy.champion, healthy.train, hidden, healthy.params
    )  # fmt: skip
    rows = verdict(case, "champion").evidence[0].rows
    assert [row[0] for row in rows] == ["call", "victim", "overall"]
    assert refused(case) == ["floor"]
