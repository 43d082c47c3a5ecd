from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crimeguard.features.columns import Floats, Ints
from crimeguard.train.conformal import Conformal, fit_conformal


def exchangeable(rows: int, seed: int, shift: float = 1.0) -> tuple[Floats, Ints]:
    """Draw probabilities, and categories from them; `shift` makes them over-confident."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(rows, 15)) * 2
    target = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    odds = np.exp(scores * shift)
    return odds / odds.sum(axis=1, keepdims=True), target


@pytest.mark.parametrize("shift", [1.0, 2.5])
@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.99])
def test_the_truth_is_in_the_set_as_often_as_stated(coverage: float, shift: float) -> None:
    levels = np.zeros(4000, np.int64)
    conformal = fit_conformal(*_args(4000, 0, shift, levels), coverage)
    shares, target = exchangeable(40_000, 1, shift)
    inside = conformal.sets(shares, np.zeros(40_000, np.int64))
    covered = inside[np.arange(40_000), target].mean()
    assert covered == pytest.approx(coverage, abs=0.02)


def _args(rows: int, seed: int, shift: float, levels: Ints) -> tuple[Floats, Ints, Ints]:
    shares, target = exchangeable(rows, seed, shift)
    return shares, levels, target


def test_the_promise_holds_on_average_with_few_incidents() -> None:
    covered = []
    for seed in range(400):
        conformal = fit_conformal(*_args(15, seed, 1.0, np.zeros(15, np.int64)), 0.8)
        shares, target = exchangeable(50, 10_000 + seed)
        inside = shares >= conformal.thresholds[0]
        covered.append(inside[np.arange(50), target].mean())
    assert np.mean(covered) >= 0.8 - 0.01


def test_each_level_has_its_threshold() -> None:
    sharp, target = exchangeable(3000, 2, 3.0)
    flat = np.full((3000, 15), 1 / 15)
    levels = np.repeat([0, 2], 3000)
    conformal = fit_conformal(
        np.vstack([flat, sharp]), levels, np.concatenate([target, target]), 0.9
    )
    assert conformal.thresholds[0] == 1 / 15
    assert conformal.thresholds[1] == 0
    assert conformal.thresholds[2] not in (0, 1 / 15)
    assert conformal.sets(flat[:2], np.array([0, 0])).all()


@pytest.mark.parametrize("rows", [0, 1, 8])
def test_with_too_few_incidents_the_set_is_everything(rows: int) -> None:
    shares, target = exchangeable(10, 3)
    conformal = fit_conformal(shares[:rows], np.zeros(rows, np.int64), target[:rows], 0.9)
    assert conformal.sets(shares, np.zeros(10, np.int64)).all()


@given(st.floats(0, 1), st.integers(0, 2))
def test_a_set_is_never_empty_and_holds_the_best(threshold: float, level: int) -> None:
    conformal = Conformal(0.9, np.full(3, threshold))
    shares, _ = exchangeable(20, 4)
    inside = conformal.sets(shares, np.full(20, level))
    assert inside[np.arange(20), shares.argmax(axis=1)].all()
    assert (shares[~inside] < threshold).all()


def test_it_survives_json() -> None:
    conformal = Conformal(0.9, np.array([0.1, 0.2, 0.30000000000000004]))
    again = Conformal.from_json(json.loads(json.dumps(conformal.to_json())))
    assert again.coverage == 0.9
    assert np.array_equal(again.thresholds, conformal.thresholds)
