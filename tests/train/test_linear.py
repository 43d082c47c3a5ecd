from __future__ import annotations

import itertools
from unittest.mock import patch

import numpy as np
import pytest

from crimeguard.features import cross
from crimeguard.features.columns import Floats, Ints
from crimeguard.features.cross import TEMPLATES
from crimeguard.features.featurizer import Features
from crimeguard.train import linear
from crimeguard.train.linear import CLASSES, FEW, LinearMember, fit_linear, summed
from crimeguard.train.params import LinearParams

PARAMS = LinearParams(spread_call=0.5, spread_victim=0.5, spread_report=0.5, iterations=500)


def one_hots(table: Ints) -> Features:
    """Make features of which each row's active columns are those that hold 1."""
    counts = table.sum(axis=1)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Features(np.zeros((len(table), 0), np.float32), offsets, np.nonzero(table)[1])


def keys(level: int, count: int, *names: str) -> Ints:
    """Make up keys of one template at one level; by default `hour`."""
    template = [listed for _, listed in TEMPLATES].index(names or ("hour",))
    return (template * 3 + level) * cross.BLOCK + np.arange(count)


def problem(rows: int = 900, seed: int = 0) -> tuple[Ints, Ints]:
    """Ten binary columns, the first always on; three of them tell the category."""
    rng = np.random.default_rng(seed)
    table = (rng.random((rows, 10)) < 0.4).astype(np.int64)
    table[:, 0] = 1
    logits = np.zeros((rows, CLASSES))
    for column, category in ((1, 3), (2, 7), (3, 14)):
        logits[:, category] += 4 * table[:, column]
    noise = rng.gumbel(size=logits.shape)
    return table, (logits + noise).argmax(axis=1)


def softmax(scores: Floats) -> Floats:
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: Floats = odds / odds.sum(axis=1, keepdims=True)
    return shares


def test_it_finds_what_the_data_were_made_with() -> None:
    table, target = problem(4000)
    loose = LinearParams(spread_call=100.0, iterations=500)
    member = fit_linear(one_hots(table), np.zeros(4000, np.int64), target, keys(0, 10), loose)
    for column, category in ((1, 3), (2, 7), (3, 14)):
        others = np.delete(member.weights[column], category)
        assert member.weights[column, category] - others.mean() == pytest.approx(4, abs=0.5)
    assert np.abs(member.weights[4:] - member.weights[4:].mean(axis=1, keepdims=True)).max() < 1


def test_few_rows_and_many_are_summed_alike_to_the_last_bit() -> None:
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(300, 40)).astype(np.float32)
    counts = rng.integers(0, 80, 200)
    counts[[0, 7]] = 0
    offsets = np.concatenate([[0], np.cumsum(counts)])
    indices = rng.integers(0, 300, offsets[-1])
    whole = summed(indices, offsets, weights)
    assert whole.dtype == np.float32
    assert not whole[7].any()
    for size in (1, 2, 3, 7, FEW, FEW + 1, 64):
        for start in range(0, 200 - size, size):
            part = offsets[start : start + size + 1]
            mine = summed(indices[part[0] : part[-1]], part - part[0], weights)
            assert mine.tobytes() == whole[start : start + size].tobytes()
    exact = [weights[indices[a:b]].sum(axis=0) for a, b in itertools.pairwise(offsets)]
    assert whole == pytest.approx(np.array(exact), abs=1e-4)


def test_it_is_scikit_learns_regression_with_the_same_prior() -> None:
    from sklearn.linear_model import LogisticRegression

    table, target = problem()
    assert len(np.unique(target)) == CLASSES
    features = one_hots(table)
    member = fit_linear(features, np.full(900, 2), target, keys(2, 10), PARAMS)
    theirs = LogisticRegression(C=0.5, fit_intercept=False, max_iter=2000, tol=1e-8)
    theirs.fit(table, target)
    assert softmax(member.scores(features)) == pytest.approx(theirs.predict_proba(table), abs=2e-3)


def test_the_gradient_is_that_of_the_loss() -> None:
    from scipy.optimize import approx_fprime

    table, target = problem(40)
    seen = {}

    def stand_in(loss: object, start: Floats, **options: object) -> object:
        seen["loss"] = loss
        raise StopIteration

    matrix = linear._sparse(one_hots(table), 10)
    with patch("scipy.optimize.minimize", stand_in), pytest.raises(StopIteration):
        linear._minimise(matrix, target, np.linspace(0.1, 3, 10), 5)
    loss = seen["loss"]
    assert callable(loss)
    rng = np.random.default_rng(2)
    for scale in (0.0, 1.0, 30.0):
        point = scale * rng.normal(size=10 * CLASSES)
        _, gradient = loss(point)
        by_hand = approx_fprime(point, lambda x: loss(x)[0], 1e-6)
        assert gradient == pytest.approx(by_hand, abs=1e-2 * max(1, scale))


def test_a_wider_prior_lets_weights_grow() -> None:
    table, target = problem()
    sizes = []
    for spread in (0.01, 0.1, 1.0):
        params = LinearParams(spread_victim=spread, iterations=200)
        member = fit_linear(one_hots(table), np.ones(900, np.int64), target, keys(1, 10), params)
        sizes.append(float(np.abs(member.weights).sum()))
    assert sizes[0] < sizes[1] < sizes[2]


def test_levels_do_not_touch_each_other() -> None:
    table, target = problem()
    wide = np.zeros((900, 30), np.int64)
    levels = np.arange(900) % 3
    every = np.concatenate([keys(level, 10) for level in range(3)])
    for row, level in enumerate(levels.tolist()):
        wide[row, 10 * level : 10 * level + 10] = table[row]
    together = fit_linear(one_hots(wide), levels, target, every, PARAMS)
    for level in range(3):
        rows = np.flatnonzero(levels == level)
        alone = fit_linear(one_hots(wide[rows]), levels[rows], target[rows], every, PARAMS)
        block = slice(10 * level, 10 * level + 10)
        assert np.array_equal(together.weights[block], alone.weights[block])
        assert not np.delete(alone.weights, np.r_[block], axis=0).any()


def test_a_code_by_itself_has_a_prior_of_its_own() -> None:
    params = LinearParams(spread_call=1, spread_victim=2, spread_report=3, spread_codes=9)
    made = np.concatenate(
        [keys(0, 1), keys(1, 1), keys(2, 1), keys(2, 2, "mo"), keys(2, 1, "weapon"),
         keys(2, 1, "mo", "weapon")]
    )  # fmt: skip
    assert linear.prior_spreads(made, params).tolist() == [1, 2, 3, 9, 9, 9, 3]


def test_a_column_that_was_never_on_weighs_nothing() -> None:
    table, target = problem(200)
    member = fit_linear(one_hots(table), np.zeros(200, np.int64), target, keys(0, 12), PARAMS)
    assert member.weights.shape == (12, CLASSES)
    assert not member.weights[10:].any()


def test_each_level_is_a_step() -> None:
    table, target = problem(60)
    steps: list[int] = []
    fit_linear(one_hots(table), np.ones(60, np.int64), target, keys(1, 10), PARAMS,
               lambda: steps.append(1))  # fmt: skip
    assert len(steps) == 3


def test_scores_are_sums_of_the_active_weights() -> None:
    weights = np.arange(4 * CLASSES, dtype=np.float32).reshape(4, CLASSES)
    table = np.array([[1, 0, 0, 1], [0, 0, 0, 0], [0, 1, 1, 0]])
    scores = LinearMember(weights).scores(one_hots(table))
    assert np.array_equal(scores, table @ weights)
