from __future__ import annotations

import json

import numpy as np
import pytest

from crimeguard.features.columns import Floats, Ints
from crimeguard.train.pool import Pool, fit_pool, log_softmax, mix_offsets

STILL = np.zeros(15)
EVEN = Pool(np.full((3, 2), 0.5), STILL)


def draws(rows: int, sharpness: float, seed: int) -> tuple[Floats, Ints]:
    """Return calibrated scores of some sharpness, and categories drawn from them."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(rows, 15)) * sharpness
    return scores, (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)


def loss(probabilities: Floats, target: Ints) -> float:
    return float(-np.log(probabilities[np.arange(len(target)), target]).mean())


def test_log_softmax_is_that_of_scipy_and_keeps_its_feet() -> None:
    from scipy.special import log_softmax as theirs

    scores = np.array([[0.0, 1, 2], [1000, 0, -1000], [-1e9, -1e9, -1e9]])
    assert log_softmax(scores) == pytest.approx(theirs(scores, axis=1))


def test_probabilities_sum_to_one() -> None:
    rng = np.random.default_rng(0)
    scores = [rng.normal(size=(50, 15)) * 30 for _ in range(2)]
    pooled = EVEN.probabilities(scores, np.arange(50) % 3)
    assert pooled.sum(axis=1) == pytest.approx(np.ones(50))
    assert (pooled >= 0).all()


def test_members_that_agree_are_believed() -> None:
    scores, _ = draws(20, 2, 0)
    shares = np.exp(log_softmax(scores))
    shifted = scores + 7.0
    assert EVEN.probabilities([scores, shifted], np.zeros(20, np.int64)) == pytest.approx(shares)


def test_it_is_the_geometric_mean() -> None:
    one, other = (np.exp(log_softmax(draws(5, 2, seed)[0])) for seed in (1, 2))
    mean = one**0.25 * other**0.75
    pool = Pool(np.tile([0.25, 0.75], (3, 1)), STILL)
    pooled = pool.probabilities([np.log(one), np.log(other)], np.zeros(5, np.int64))
    assert pooled == pytest.approx(mean / mean.sum(axis=1, keepdims=True))


def test_weights_belong_to_levels() -> None:
    one, other = (draws(3, 2, seed)[0] for seed in (1, 2))
    pool = Pool(np.array([[1.0, 0], [0, 1], [0.5, 0.5]]), STILL)
    pooled = pool.probabilities([one, other], np.array([0, 1, 2]))
    assert pooled[0] == pytest.approx(np.exp(log_softmax(one))[0])
    assert pooled[1] == pytest.approx(np.exp(log_softmax(other))[1])


@pytest.mark.parametrize("good", [0, 1])
def test_the_better_member_gets_the_weight(good: int) -> None:
    scores, target = draws(3000, 2, 3)
    noise = np.random.default_rng(5).normal(size=scores.shape)
    members = [noise, noise]
    members[good] = scores
    pool = fit_pool(members, np.full(3000, 2), target, STILL)
    assert pool.weights[2, good] > 0.9
    assert pool.weights.sum(axis=1) == pytest.approx(np.ones(3))


def test_a_blend_beats_both_where_each_knows_something() -> None:
    rng = np.random.default_rng(6)
    scores, target = draws(4000, 2, 7)
    members = [scores + rng.normal(size=scores.shape) * 1.5 for _ in range(2)]
    levels = np.zeros(4000, np.int64)
    pool = fit_pool(members, levels, target, STILL)
    assert pool.weights[0] == pytest.approx([0.5, 0.5], abs=0.1)
    best = min(loss(np.exp(log_softmax(mine)), target) for mine in members)
    assert loss(pool.probabilities(members, levels), target) < best - 0.05


def test_each_level_is_fitted_on_its_own_incidents() -> None:
    scores, target = draws(2000, 2, 8)
    noise = np.random.default_rng(9).normal(size=scores.shape)
    levels = np.arange(2000) % 2
    mixed = [np.where(levels[:, None] == 0, scores, noise),
             np.where(levels[:, None] == 1, scores, noise)]  # fmt: skip
    pool = fit_pool(mixed, levels, target, STILL)
    assert pool.weights[0, 0] > 0.9
    assert pool.weights[1, 1] > 0.9
    assert pool.weights[2] == pytest.approx([0.5, 0.5])


def test_any_number_of_members() -> None:
    scores, target = draws(500, 2, 8)
    pool = fit_pool([scores] * 4, np.zeros(500, np.int64), target, STILL)
    assert pool.weights.shape == (3, 4)
    pooled = pool.probabilities([scores] * 4, np.zeros(500, np.int64))
    assert pooled == pytest.approx(np.exp(log_softmax(scores)))


def test_offsets_lead_from_one_mix_to_another() -> None:
    """With p(x | category) as it was, the corrected answers are those of the new mix."""
    target = np.repeat([0, 1], [8000, 2000])
    mix = np.full(15, 1e-9)
    mix[:2] = 0.5, 0.5
    offsets = mix_offsets(mix, target)
    assert offsets[1] - offsets[0] == pytest.approx(np.log(4), abs=0.01)
    like = np.array([[3.0, 1.0]])  # p(x | category) up to a factor
    old = np.full((1, 15), -50.0)
    old[:, :2] = np.log(like * [0.8, 0.2])
    pooled = Pool(np.ones((3, 1)), offsets).probabilities([old], np.zeros(1, np.int64))
    assert pooled[0, :2] == pytest.approx([0.75, 0.25], abs=0.001)
    assert not mix_offsets(None, target).any()


def test_a_pool_survives_json() -> None:
    pool = Pool(np.random.default_rng(1).random((3, 2)), np.random.default_rng(2).random(15))
    again = Pool.from_json(json.loads(json.dumps(pool.to_json())))
    assert np.array_equal(again.weights, pool.weights)
    assert np.array_equal(again.offsets, pool.offsets)
    with pytest.raises(KeyError):
        Pool.from_json({"call": [1, 0]})
