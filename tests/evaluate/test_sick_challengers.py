"""Challengers that were really trained, and sick: each is refused by the gate that should."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from crimeguard.domain.codes import area_names
from crimeguard.domain.level import InformationLevel
from crimeguard.evaluate.comparison import losses
from crimeguard.evaluate.gate import Case
from crimeguard.evaluate.gates import GATES, Judgement, judge
from crimeguard.train.fit import fit_model
from tests.evaluate.cases import contender, gated, make_case, make_split, params, sharpened

pytestmark = pytest.mark.slow


def areas_named(judgement: Judgement) -> list[tuple[str, ...]]:
    slices = next(item for item in judgement.verdicts if item.gate == "slices")
    return [row for row in slices.evidence[0].rows if row[-1] == "yes" and row[1] == "area"]


@pytest.fixture(scope="module")
def champion() -> Case:
    """A champion on rows enough to see an area by itself, challenged by itself."""
    split, mine = make_split(24_000, seed=11), params()
    model = contender("champion", fit_model(split.train, split.train_until, mine),
                      split.train_until)  # fmt: skip
    case = make_case(replace(model, name="challenger"), model, split.train, split.test, mine)
    return gated(case, max_slice_loss=0.05)


def challenge(champion: Case, train: pl.DataFrame) -> Case:
    last = champion.challenger.trained_until
    model = contender("challenger", fit_model(train, last, champion.params), last)
    return make_case(model, champion.champion, train, champion.test, champion.params)


def worse_where_unseen(case: Case) -> float:
    """Return the loss at level `call` (nats) in areas of odd number, less that in the others."""
    level = InformationLevel.CALL
    mine, theirs = case.challenger_probabilities[level], case.champion_probabilities[level]
    lost = losses(mine, case.truth) - losses(theirs, case.truth)
    odd = (case.test["area"] % 2 == 1).to_numpy()
    return float(lost[odd].mean() - lost[~odd].mean())


def test_shuffled_labels_are_refused_by_the_floor(champion: Case) -> None:
    shuffled = champion.train.with_columns(pl.col("crm_cd").shuffle(seed=1))
    judgement = judge(challenge(champion, shuffled))
    assert judgement.refused == ("floor", "champion", "slices")
    checks = {c.name: c for v in judgement.verdicts if v.gate == "floor" for c in v.checks}
    assert checks["macro ROC-AUC at report"].value == pytest.approx(0.5, abs=0.1)


def test_half_of_the_areas_is_refused_by_the_slices_of_the_others(champion: Case) -> None:
    case = challenge(champion, champion.train.filter(pl.col("area") % 2 == 0))
    judgement = judge(case)
    assert "slices" in judgement.refused
    assert not {"floor", "calibration", "coverage", "leakage"} & set(judgement.refused)
    named = areas_named(judgement)
    assert named
    assert {row[2] for row in named} <= {area_names()[area] for area in range(1, 22, 2)}
    assert {row[0] for row in named} <= {"call", "victim"}
    # Half of the rows of every area make a model worse too, but everywhere alike.
    control = challenge(champion, champion.train.sample(fraction=0.5, seed=1))
    gap, chance = worse_where_unseen(case), worse_where_unseen(control)
    assert gap > 0.04
    assert abs(chance) < gap / 2


def test_over_confidence_is_refused_by_calibration(champion: Case) -> None:
    sure = sharpened(champion.challenger.model, 1.5)
    rival = replace(champion.challenger, model=sure)
    judgement = judge(
        make_case(rival, champion.champion, champion.train, champion.test, champion.params)
    )
    assert "calibration" in judgement.refused
    # No answer has changed, only how sure of it the model is.
    accuracy = [c for v in judgement.verdicts if v.gate == "champion" for c in v.checks
                if c.name.startswith("accuracy")]  # fmt: skip
    assert all(check.passed for check in accuracy)


def test_the_champion_itself_would_pass(champion: Case) -> None:
    assert judge(champion).passed
    assert set(GATES) == {item.gate for item in judge(champion).verdicts}
