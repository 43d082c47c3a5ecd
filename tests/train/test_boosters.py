from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crimeguard.features.columns import Floats, Ints
from crimeguard.features.dense import Matrix
from crimeguard.train.boosters import (
    LightgbmMember,
    XgboostMember,
    fit_lightgbm,
    fit_xgboost,
)
from crimeguard.train.linear import CLASSES
from crimeguard.train.params import LightgbmParams, XgboostParams

XGBOOST = XgboostParams(rounds=12, learning_rate=0.3, max_depth=4)
LIGHTGBM = LightgbmParams(rounds=12, learning_rate=0.3, column_share=1.0)
Member = XgboostMember | LightgbmMember
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
    scores = member.scores(dense, base_rate(target)[:1].repeat(len(dense), axis=0))
    assert (scores.argmax(axis=1) == truth).mean() > 0.7
    assert np.bincount(truth).max() / len(truth) < 0.55


def test_xgboost_starts_from_the_linear_scores() -> None:
    dense, target = rows()
    member = fit_xgboost(dense, base_rate(target), target, XGBOOST, seed=1, threads=1)
    linear = np.random.default_rng(4).normal(size=(len(dense), CLASSES))
    without = member.scores(dense, np.zeros_like(linear))
    assert member.scores(dense, linear) == pytest.approx(without + linear, abs=1e-4)


def test_lightgbm_reads_the_linear_scores_as_columns() -> None:
    _, target = rows()
    blind = np.full((len(target), 2), np.nan, np.float32)
    linear = np.full((len(target), CLASSES), -5.0)
    linear[np.arange(len(target)), target] = 5.0
    member = fit_lightgbm(blind, linear, target, LIGHTGBM, seed=1, threads=1)
    assert (member.scores(blind, linear).argmax(axis=1) == target).all()


def test_what_is_loaded_scores_as_what_was_saved(
    fitted: tuple[Member, Matrix, Floats, Ints], tmp_path: Path
) -> None:
    member, dense, linear, _ = fitted
    file = tmp_path / ("model.ubj" if isinstance(member, XgboostMember) else "model.txt")
    member.save(file)
    again = type(member).load(file)
    assert again.scores(dense, linear).tobytes() == member.scores(dense, linear).tobytes()


def test_threads_do_not_change_answers(fitted: tuple[Member, Matrix, Floats, Ints]) -> None:
    from dataclasses import replace

    member, dense, linear, _ = fitted
    one = member.scores(dense, linear)
    if isinstance(member, XgboostMember):
        member.use_threads(2)
        two = member.scores(dense, linear)
        member.use_threads(1)
    else:
        two = replace(member, threads=2).scores(dense, linear)
    assert one.tobytes() == two.tobytes()


def test_rows_do_not_change_each_other(fitted: tuple[Member, Matrix, Floats, Ints]) -> None:
    member, dense, linear, _ = fitted
    whole = member.scores(dense, linear)
    for place in (0, 5, 700):
        one = member.scores(dense[place : place + 1], linear[place : place + 1])
        assert one.tobytes() == whole[place : place + 1].tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_member(kind: str) -> None:
    dense, target = rows(600)
    linear = base_rate(target)
    first, second = (fit(kind, dense, linear, target).scores(dense, linear) for _ in range(2))
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_category_that_never_occurred_is_the_least_probable(kind: str) -> None:
    dense, target = rows(600)
    linear = base_rate(target)
    scores = fit(kind, dense, linear, target).scores(dense, linear)
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
