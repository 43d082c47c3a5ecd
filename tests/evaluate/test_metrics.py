from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crimeguard.domain.category import CATEGORIES
from crimeguard.evaluate.metrics import (
    calibration_bins,
    confusion,
    expected_calibration_error,
    log_loss,
    per_category,
    roc_auc,
    score,
    top_share,
)
from crimeguard.features.columns import Floats, Ints


def answers(rows: int = 800, seed: int = 0) -> tuple[Floats, Ints]:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(rows, 15)) * 2
    target = (scores + 1.5 * rng.gumbel(size=scores.shape)).argmax(axis=1)
    odds = np.exp(scores)
    return odds / odds.sum(axis=1, keepdims=True), target


def one_hot(*confidences: float) -> Floats:
    """Return answers that give category 0 these probabilities and share out the rest."""
    return np.array([[c, *[(1 - c) / 14] * 14] for c in confidences])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_score_is_scikit_learns(seed: int) -> None:
    from sklearn import metrics

    shares, target = answers(seed=seed)
    assert len(np.unique(target)) == 15
    found, best = score(shares, target), shares.argmax(axis=1)
    expected = {
        "accuracy": metrics.accuracy_score(target, best),
        "weighted_f1": metrics.f1_score(target, best, average="weighted"),
        "macro_f1": metrics.f1_score(target, best, average="macro"),
        "macro_roc_auc": metrics.roc_auc_score(target, shares, multi_class="ovr"),
        "weighted_roc_auc": metrics.roc_auc_score(
            target, shares, multi_class="ovr", average="weighted"
        ),
        "log_loss": metrics.log_loss(target, shares, labels=range(15)),
        "top3": metrics.top_k_accuracy_score(target, shares, k=3, labels=range(15)),
    }
    got = found.to_dict()
    assert {name: got[name] for name in expected} == pytest.approx(expected)
    assert got["rows"] == 800
    assert set(got) == {*expected, "rows", "ece"}


def test_each_category_is_scikit_learns() -> None:
    from sklearn import metrics

    shares, target = answers()
    best = shares.argmax(axis=1)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(target, best)
    for place, item in enumerate(per_category(shares, target)):
        assert item.category == CATEGORIES[place]
        assert item.support == support[place]
        assert item.predicted == (best == place).sum()
        assert item.precision == pytest.approx(precision[place])
        assert item.recall == pytest.approx(recall[place])
        assert item.f1 == pytest.approx(f1[place])
        auc = metrics.roc_auc_score(target == place, shares[:, place])
        assert item.roc_auc == pytest.approx(auc)
    assert np.array_equal(confusion(shares, target), metrics.confusion_matrix(target, best))


def test_f1_over_missing_categories_is_scikit_learns() -> None:
    from sklearn import metrics

    shares, target = answers(200)
    kept = np.isin(target, [2, 5, 9])
    shares, target = shares[kept], target[kept]
    best = shares.argmax(axis=1)
    found = score(shares, target)
    assert found.macro_f1 == pytest.approx(
        metrics.f1_score(target, best, average="macro", zero_division=0)
    )
    assert found.weighted_f1 == pytest.approx(
        metrics.f1_score(target, best, average="weighted", zero_division=0)
    )
    ranks = [metrics.roc_auc_score(target == place, shares[:, place]) for place in (2, 5, 9)]
    assert found.macro_roc_auc == pytest.approx(np.mean(ranks))


def test_with_one_category_there_is_nothing_to_rank() -> None:
    shares, _ = answers(20)
    found = score(shares, np.full(20, 4))
    assert np.isnan(found.macro_roc_auc)
    assert np.isnan(found.weighted_roc_auc)
    assert found.accuracy == (shares.argmax(axis=1) == 4).mean()


def test_nothing_cannot_be_scored() -> None:
    with pytest.raises(ValueError, match="no incidents"):
        score(np.zeros((0, 15)), np.zeros(0, np.int64))


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.2, 0.7]), st.booleans()), min_size=2))
def test_auc_is_the_share_of_pairs_in_order_with_ties_as_halves(
    drawn: list[tuple[float, bool]],
) -> None:
    scores = np.array([value for value, _ in drawn])
    positive = np.array([kind for _, kind in drawn])
    found = roc_auc(scores, positive)
    pairs = [
        float(one > other) + 0.5 * float(one == other)
        for one in scores[positive] for other in scores[~positive]
    ]  # fmt: skip
    assert found == (pytest.approx(np.mean(pairs)) if pairs else None)


def test_calibration_error_by_hand() -> None:
    # Confidences 0.95 and 0.85 fall into bins of their own, twice 0.30 into one.
    shares = one_hot(0.95, 0.85, 0.30, 0.30)
    target = np.array([0, 1, 0, 3])
    assert expected_calibration_error(shares, target) == pytest.approx(
        (abs(0.95 - 1) + abs(0.85 - 0) + 2 * abs(0.30 - 0.5)) / 4
    )


def test_calibration_bins_hold_everybody_once() -> None:
    shares, target = answers()
    bins = calibration_bins(shares, target)
    assert sum(item.rows for item in bins) == 800
    for item in bins:
        assert item.low < item.confidence <= item.high + 1e-12
        assert item.high - item.low == pytest.approx(1 / 15)
    right = (shares.argmax(axis=1) == target).mean()
    assert sum(item.rows * item.accuracy for item in bins) / 800 == pytest.approx(right)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below() -> None:
    bins = calibration_bins(one_hot(0.4, 0.41, 1.0), np.zeros(3, np.int64), bins=5)
    assert [(item.low, item.rows) for item in bins] == [(0.2, 1), (0.4, 1), (0.8, 1)]


def test_a_model_that_is_right_as_often_as_it_says_has_no_error() -> None:
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.5, 1, 60_000)
    target = np.where(rng.random(60_000) < confidence, 0, 1)
    assert expected_calibration_error(one_hot(*confidence), target) < 0.01
    assert expected_calibration_error(one_hot(*np.full(1000, 0.99)), target[:1000]) > 0.2


def test_a_truth_held_for_impossible_costs_much_but_not_everything() -> None:
    sure = np.eye(15)[[0, 0]]
    assert log_loss(sure, np.array([0, 1])) == pytest.approx(-np.log(1e-15) / 2)


def test_top_share_counts_the_better_ones() -> None:
    shares = np.array([np.arange(15) / 105] * 4)
    assert top_share(shares, np.array([14, 12, 11, 0]), 3) == 0.5
    assert top_share(shares, np.array([14, 12, 11, 0]), 15) == 1.0


def test_answers_that_are_no_numbers_are_not_scored() -> None:
    shares, target = answers(50)
    shares[7, 3] = np.nan
    with pytest.raises(ValueError, match="not numbers"):
        score(shares, target)
