from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.codes import area_names
from crimeguard.domain.level import InformationLevel
from crimeguard.evaluate.comparison import Answers
from crimeguard.evaluate.slices import BUREAUS, SliceLoss, groups, holm, slice_losses
from crimeguard.features.columns import Floats, Ints
from crimeguard.train.fit import targets

CALL = InformationLevel.CALL


@pytest.fixture(scope="module")
def truth(incidents: pl.DataFrame) -> Ints:
    return targets(incidents)


def shares(truth: Ints, wrong: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Floats:
    answers = np.full((len(truth), 15), 0.02)
    answers[np.arange(len(truth)), np.where(wrong, (truth + 1) % 15, truth)] = 0.72
    return answers


def judged(
    frame: pl.DataFrame, truth: Ints, challenger: Answers, champion: Answers, least: int = 100
) -> list[SliceLoss]:
    return slice_losses(frame, truth, challenger, champion, least=least, alpha=0.05)


def test_every_incident_is_in_one_slice_of_each_kind(incidents: pl.DataFrame, truth: Ints) -> None:
    rows: dict[str, list[int]] = {}
    for kind, _, mine in groups(incidents, truth, 1):
        rows.setdefault(kind, []).extend(mine.tolist())
    assert set(rows) == {
        "all", "area", "bureau", "hours", "victim sex", "victim descent", "category",
    }  # fmt: skip
    for kind, places in rows.items():
        assert sorted(places) == list(range(incidents.height)), kind


def test_slices_hold_what_they_are_named_after(incidents: pl.DataFrame, truth: Ints) -> None:
    found = {(kind, value): rows for kind, value, rows in groups(incidents, truth, 100)}
    assert all(len(rows) >= 100 for rows in found.values())
    named = {name: code for code, name in area_names().items()}
    for (kind, value), rows in found.items():
        part = incidents[rows]
        if kind == "area":
            assert part["area"].unique().to_list() == [named[value]]
        if kind == "bureau":
            assert set(part["area"]) <= set(BUREAUS[value])
        if kind == "hours":
            begin = int(value[:2])
            assert part["time_occ"].is_between(begin * 100, begin * 100 + 399).all()
        if kind == "victim sex":
            assert part["vict_sex"].fill_null("unknown").unique().to_list() == [value]
        if kind == "category":
            assert {CATEGORIES[place] for place in truth[rows]} == {value}


def test_the_bureaus_have_each_area_once() -> None:
    assert sorted(area for areas in BUREAUS.values() for area in areas) == sorted(area_names())


def test_a_slice_that_got_worse_is_named_and_no_other(incidents: pl.DataFrame, truth: Ints) -> None:
    night = (incidents["time_occ"] < 400).to_numpy()
    champion = {CALL: shares(truth, np.zeros(len(truth), bool))}
    odd = np.arange(len(truth)) % 2 == 0
    found = judged(incidents, truth, {CALL: shares(truth, night & odd)}, champion)
    assert found[0].slice == "hours"
    assert found[0].value == "00:00 and after"
    assert found[0].significant
    accuracy = next(x for x in found if x.slice == "hours" and x.measure == "accuracy")
    assert accuracy.loss == pytest.approx((night & odd).sum() / night.sum())
    assert accuracy.rows == night.sum()
    other = [x for x in found if x.slice == "hours" and x.value != "00:00 and after"]
    assert len(other) == 10
    assert not any(x.significant or x.loss for x in other)


def test_the_same_loss_on_every_row_is_no_chance(incidents: pl.DataFrame, truth: Ints) -> None:
    none, every = np.zeros(len(truth), bool), np.ones(len(truth), bool)
    worse = judged(incidents, truth, {CALL: shares(truth, every)}, {CALL: shares(truth, none)})
    assert all(x.significant and x.p == 0 for x in worse)
    equal = judged(incidents, truth, {CALL: shares(truth, none)}, {CALL: shares(truth, none)})
    assert not any(x.significant for x in equal)
    better = judged(incidents, truth, {CALL: shares(truth, none)}, {CALL: shares(truth, every)})
    assert not any(x.significant for x in better)


def test_equals_are_rarely_told_apart(incidents: pl.DataFrame, truth: Ints) -> None:
    rng = np.random.default_rng(8)
    named = 0
    for _ in range(60):
        mine, theirs = (shares(truth, rng.random(len(truth)) < 0.2) for _ in range(2))
        found = judged(incidents, truth, {CALL: mine}, {CALL: theirs})
        named += any(item.significant for item in found)
    assert named <= 7  # of 60 at 5 %: more by chance in 1.6 % of seeds, and this one is fixed


def test_the_true_category_is_looked_at_where_it_can_be_told(
    incidents: pl.DataFrame, truth: Ints
) -> None:
    report = InformationLevel.REPORT
    right = shares(truth, np.zeros(len(truth), bool))
    wrong = shares(truth, truth == 3)
    champion = {CALL: right, report: right}
    low = judged(incidents, truth, {CALL: wrong, report: right}, champion)
    assert {x.level for x in low if x.slice == "category"} == {"report"}
    assert not any(x.significant for x in low if x.slice == "category")
    high = judged(incidents, truth, {CALL: right, report: wrong}, champion)
    named = {(x.level, x.value) for x in high if x.slice == "category" and x.significant}
    assert named == {("report", CATEGORIES[3])}


def test_small_slices_say_nothing(incidents: pl.DataFrame, truth: Ints) -> None:
    answers = {CALL: shares(truth, np.zeros(len(truth), bool))}
    assert judged(incidents, truth, answers, answers, least=incidents.height + 1) == []
    assert {x.rows >= 500 for x in judged(incidents, truth, answers, answers, least=500)} == {True}


def test_fields_that_are_not_there_make_no_slices(incidents: pl.DataFrame, truth: Ints) -> None:
    frame = incidents.drop("vict_sex", "vict_descent")
    assert {kind for kind, _, _ in groups(frame, truth, 1)} == {
        "all", "area", "bureau", "hours", "category",
    }  # fmt: skip


def test_holm_is_the_published_procedure() -> None:
    p = np.array([0.01, 0.04, 0.03, 0.005])
    assert holm(p, 0.05).tolist() == [True, False, False, True]
    assert holm(np.array([0.02, 0.02, 0.02]), 0.05).tolist() == [False] * 3
    # One that fails takes along all behind it, though 0.04 alone would stand.
    assert holm(np.array([0.001, 0.03, 0.04]), 0.05).tolist() == [True, False, False]
    assert holm(np.array([]), 0.05).tolist() == []
    assert not holm(np.array([np.nan, 0.5]), 0.05).any()
