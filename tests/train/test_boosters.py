from __future__ import annotations

import numpy as np
import pytest

from crimeguard.features.columns import Floats, Ints
from crimeguard.features.dense import Matrix
from crimeguard.train.boosters import fit_lightgbm, fit_xgboost
from crimeguard.train.linear import CLASSES
from crimeguard.train.params import LightgbmParams, XgboostParams
from crimeguard.train.trees import LightgbmTrees, XgboostTrees
from tests.train.libraries import answer

XGBOOST = XgboostParams(rounds=12, learning_rate=0.3, max_depth=4)
LIGHTGBM = LightgbmParams(rounds=12, learning_rate=0.3, column_share=1.0)
Member = XgboostTrees | LightgbmTrees
KINDS = ("xgboost", "lightgbm")


def rows(count: int = 1500, seed: int = 0) -> tuple[Matrix, Ints]:
    """Whether two signs agree tells the category: no single column does. One in ten is missing."""
    rng = np.random.default_rng(seed)
    dense = rng.normal(size=(count, 5)).astype(np.float32)
    agree = (dense[:, 0] > 0) == (dense[:, 1] > 0)
    target = np.where(agree, 3, np.where(dense[:, 2] > 0, 8, 14))
    dense[rng.random(dense.shape) < 0.1] = np.nan
    return dense, target.astype(np.int64)


def fit(kind: str, dense: Matrix, linear: Floats, target: Ints, *, threads: int = 1,
        seed: int = 1) -> Member:  # fmt: skip
    if kind == "xgboost":
        return fit_xgboost(dense, linear, target, XGBOOST, seed=seed, threads=threads)
    return fit_lightgbm(dense, linear, target, LIGHTGBM, seed=seed, threads=threads)


def base_rate(target: Ints) -> Floats:
    """Scores of a member that knows nothing but how often each category occurs."""
    shares = (np.bincount(target, minlength=CLASSES) + 0.1) / (len(target) + 1.5)
    return np.tile(np.log(shares), (len(target), 1))


@pytest.fixture(scope="module", params=KINDS)
def fitted(request: pytest.FixtureRequest) -> tuple[Member, Matrix, Floats, Ints]:
    dense, target = rows()
    linear = base_rate(target)
    return fit(request.param, dense, linear, target), dense, linear, target


def test_it_learns_what_is_not_linear(fitted: tuple[Member, Matrix, Floats, Ints]) -> None:
    member, _, _, target = fitted
    dense, truth = rows(seed=9)
    scores = answer(member, dense, base_rate(target)[:1].repeat(len(dense), axis=0))
    assert (scores.argmax(axis=1) == truth).mean() > 0.7
    assert np.bincount(truth).max() / len(truth) < 0.55


@pytest.mark.parametrize("kind", KINDS)
def test_it_starts_from_the_linear_scores(kind: str) -> None:
    dense, target = rows()
    linear = base_rate(target)
    member = fit(kind, dense, linear, target)
    start = np.random.default_rng(4).normal(size=linear.shape)
    without = answer(member, dense, linear, start=np.zeros_like(linear))
    assert answer(member, dense, linear, start=start) == pytest.approx(without + start, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_it_reads_the_linear_scores_as_columns(kind: str) -> None:
    _, target = rows()
    blind = np.full((len(target), 2), np.nan, np.float32)
    # Where these two categories are likeliest, it was always a third.
    linear = np.random.default_rng(5).normal(size=(len(target), CLASSES))
    target = np.where(linear[:, 4] > linear[:, 6], 1, 2)
    member = fit(kind, blind, linear, target)
    best = answer(member, blind, linear)[:, 1:3].argmax(axis=1)
    assert (best + 1 == target).mean() > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_fitted_on_as_many_threads_as_are_given(kind: str) -> None:
    dense, target = rows()
    linear = base_rate(target)
    one, two = (answer(fit(kind, dense, linear, target, threads=n), dense, linear) for n in (1, 2))
    # Sums over rows are rounded in another order.
    assert one == pytest.approx(two, abs=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_member(kind: str) -> None:
    dense, target = rows(600)
    linear = base_rate(target)
    first, second = (answer(fit(kind, dense, linear, target), dense, linear) for _ in range(2))
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_category_that_never_occurred_is_the_least_probable(kind: str) -> None:
    dense, target = rows(600)
    linear = base_rate(target)
    scores = answer(fit(kind, dense, linear, target), dense, linear)
    seen = np.unique(target)
    unseen = np.setdiff1d(np.arange(CLASSES), seen)
    assert scores[:, unseen].max() < scores[:, seen].max()
    assert (scores.argmax(axis=1)[:, None] == seen).any(axis=1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_each_round_is_a_step(kind: str) -> None:
    dense, target = rows(200)
    steps: list[int] = []
    if kind == "xgboost":
        fit_xgboost(dense, base_rate(target), target, XGBOOST, seed=1, threads=1,
                    on_step=lambda: steps.append(1))  # fmt: skip
    else:
        fit_lightgbm(dense, base_rate(target), target, LIGHTGBM, seed=1, threads=1,
                     on_step=lambda: steps.append(1))  # fmt: skip
    assert len(steps) == 12
