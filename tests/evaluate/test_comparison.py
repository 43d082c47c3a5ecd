from __future__ import annotations

import time

import numpy as np
import pytest

from crimeguard.domain.level import InformationLevel
from crimeguard.evaluate.comparison import (
    Interval,
    bootstrap_means,
    compare,
    differences,
    hits,
    losses,
)
from crimeguard.evaluate.metrics import log_loss
from crimeguard.features.columns import Floats, Ints

CALL, REPORT = InformationLevel.CALL, InformationLevel.REPORT
HOW = {"resamples": 500, "confidence": 0.95, "seed": 1}


def answers(rows: int, right: float, seed: int) -> tuple[Floats, Ints]:
    """Return probabilities that are right in a share of rows, and the truth."""
    rng = np.random.default_rng(seed)
    truth = np.random.default_rng(0).integers(0, 15, rows)
    guess = np.where(rng.random(rows) < right, truth, (truth + 1) % 15)
    shares = np.full((rows, 15), 0.02)
    shares[np.arange(rows), guess] = 0.72
    return shares, truth


def test_hits_and_losses_are_those_of_the_metrics() -> None:
    shares, truth = answers(300, 0.7, 1)
    assert hits(shares, truth).mean() == (shares.argmax(axis=1) == truth).mean()
    assert losses(shares, truth).mean() == pytest.approx(log_loss(shares, truth))
    assert losses(np.zeros((1, 15)), np.array([3])).tolist() == [-np.log(1e-15)]


def test_a_model_against_itself_differs_by_nothing() -> None:
    shares, truth = answers(300, 0.7, 1)
    found = compare({REPORT: shares}, {REPORT: shares}, truth, **HOW)  # type: ignore[arg-type]
    assert set(found) == {"report", "overall"}
    assert found["report"].accuracy == found["overall"].log_loss == Interval(0.0, 0.0, 0.0)


def test_a_better_model_is_told_from_a_worse_one_at_each_level() -> None:
    good, truth = answers(3000, 0.8, 1)
    bad, _ = answers(3000, 0.7, 2)
    found = compare({CALL: good, REPORT: bad}, {CALL: bad, REPORT: good}, truth, **HOW)  # type: ignore[arg-type]
    assert found["call"].accuracy.low > 0.05
    assert found["call"].log_loss.high < 0
    assert found["report"].accuracy.high < -0.05
    assert found["report"].log_loss.low > 0
    assert found["overall"].accuracy.estimate == pytest.approx(0)
    exact = hits(good, truth).mean() - hits(bad, truth).mean()
    assert found["call"].accuracy.estimate == pytest.approx(exact)


def test_the_interval_is_that_of_the_normal_for_many_rows() -> None:
    good, truth = answers(4000, 0.8, 1)
    bad, _ = answers(4000, 0.7, 2)
    change = differences(good, bad, truth)[:, 0]
    error = change.std(ddof=1) / np.sqrt(4000)
    found = compare({CALL: good}, {CALL: bad}, truth,
                    resamples=4000, confidence=0.9, seed=3)["call"].accuracy  # fmt: skip
    assert found.low == pytest.approx(change.mean() - 1.645 * error, abs=error / 10)
    assert found.high == pytest.approx(change.mean() + 1.645 * error, abs=error / 10)


def test_pairs_are_kept_together() -> None:
    # Two models that err on the same rows differ by a constant, however the rows are drawn.
    shares, truth = answers(500, 0.7, 1)
    surer = np.where(shares == shares.max(axis=1, keepdims=True), shares, shares)
    drawn = bootstrap_means(differences(shares, surer, truth), 50, np.random.default_rng(0))
    assert not drawn.any()
    assert drawn.shape == (50, 2)


def test_the_same_seed_gives_the_same_interval() -> None:
    good, truth = answers(800, 0.8, 1)
    bad, _ = answers(800, 0.7, 2)
    first, again, other = (
        compare({CALL: good}, {CALL: bad}, truth, resamples=200, confidence=0.95, seed=seed)
        for seed in (4, 4, 5)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_answers_that_are_no_numbers_cannot_be_compared(value: float) -> None:
    shares, truth = answers(50, 0.7, 1)
    bad = shares.copy()
    bad[7, 3] = value
    for pair in ((bad, shares), (shares, bad)):
        with pytest.raises(ValueError, match="not numbers"):
            differences(*pair, truth)


def test_nothing_cannot_be_compared() -> None:
    none = {CALL: np.zeros((0, 15))}
    with pytest.raises(ValueError, match="no incidents"):
        compare(none, none, np.array([], int), **HOW)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no incidents"):
        compare({}, {}, np.array([1]), **HOW)  # type: ignore[arg-type]


def test_ten_thousand_rows_are_soon_compared() -> None:
    good, truth = answers(10_000, 0.8, 1)
    bad, _ = answers(10_000, 0.7, 2)
    levels = dict.fromkeys(InformationLevel, good), dict.fromkeys(InformationLevel, bad)
    begin = time.process_time()
    compare(*levels, truth, resamples=1000, confidence=0.95, seed=1)
    assert time.process_time() - begin < 2
