from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from crimeguard.evaluate.betting import (
    FRACTIONS,
    Mode,
    interval_of,
    log_evidence,
    threshold_of,
    values_of,
)

DESIGNS: list[tuple[Mode, float]] = [("shadow", 0.0), ("split", 0.5), ("split", 0.1)]


def counts(kinds: np.ndarray, size: int) -> np.ndarray:
    return np.bincount(kinds, minlength=size).astype(np.float64)


@pytest.mark.parametrize(("share", "baseline"), [(0.5, 0.75), (0.1, 0.6), (0.9, 0.9)])
def test_the_mean_of_a_splits_values_is_the_difference_whatever_the_baseline(
    share: float, baseline: float
) -> None:
    old, new = 0.8, 0.7
    chances = [(1 - share) * (1 - old), (1 - share) * old, share * (1 - new), share * new]
    assert values_of("split", share, baseline) @ chances == pytest.approx(new - old)


@pytest.mark.parametrize(("mode", "share"), DESIGNS)
def test_without_a_difference_the_mean_evidence_is_one_exactly(mode: Mode, share: float) -> None:
    """All sequences of four incidents, with their chances: what Ville's inequality needs."""
    values = values_of(mode, share, 0.75)
    right = 0.6  # not the baseline
    if mode == "shadow":
        chances = np.array([0.2, 0.6, 0.2])
    else:
        chances = np.array([(1 - share) * (1 - right), (1 - share) * right,
                            share * (1 - right), share * right])  # fmt: skip
    for side in (values, -values):
        mean = 0.0
        for kinds in itertools.product(range(len(values)), repeat=4):
            seen = counts(np.array(kinds), len(values))
            mean += math.prod(chances[list(kinds)]) * math.exp(log_evidence(seen, side))
        assert mean == pytest.approx(1.0)


def test_in_a_shadow_only_discordant_pairs_count() -> None:
    values = values_of("shadow", 0.0, 0.75)
    few, many = np.array([5.0, 0.0, 9.0]), np.array([5.0, 9_999.0, 9.0])
    assert log_evidence(few, values) == pytest.approx(float(log_evidence(many, values)))
    by_hand = np.mean((1 + FRACTIONS) ** 9 * (1 - FRACTIONS) ** 5)
    assert math.exp(log_evidence(few, values)) == pytest.approx(by_hand)


def test_evidence_grows_with_what_speaks_for_it_and_falls_with_the_null() -> None:
    values = values_of("shadow", 0.0, 0.75)
    seen = np.array([[20.0, 900.0, lead] for lead in (20, 40, 60, 80)])
    assert (np.diff(log_evidence(seen, values)) > 0).all()
    assert (np.diff(log_evidence(seen, -values)) < 0).all()
    nulls = [float(log_evidence(seen[2], values, null)) for null in (-0.5, -0.1, 0.0, 0.05, 0.5)]
    assert nulls == sorted(nulls, reverse=True)


@pytest.mark.parametrize(("mode", "share"), DESIGNS)
def test_the_interval_holds_what_is_not_rejected(mode: Mode, share: float) -> None:
    values = values_of(mode, share, 0.75)
    old, new, rows = 0.70, 0.80, 20_000
    chances = [0.05, 0.80, 0.15] if mode == "shadow" else [
        (1 - share) * (1 - old), (1 - share) * old, share * (1 - new), share * new]  # fmt: skip
    seen = rows * np.array(chances)
    low, high = interval_of(seen, values, 0.05)
    assert -1 <= low < 0.1 < high <= 1
    assert high - low < (0.03 if mode == "shadow" else 0.2)
    edge = threshold_of(0.05)
    assert log_evidence(seen, values, low - 1e-4) > edge > log_evidence(seen, values, low + 1e-4)
    assert log_evidence(seen, -values, -high - 1e-4) > edge
    assert (low > 0) == (log_evidence(seen, values) >= edge)


def test_nothing_seen_says_nothing() -> None:
    values = values_of("split", 0.1, 0.75)
    assert float(log_evidence(np.zeros(4), values)) == pytest.approx(0.0)
    assert interval_of(np.zeros(4), values, 0.05) == pytest.approx((-1, 1))


@pytest.mark.parametrize(("mode", "share"), DESIGNS)
def test_the_interval_covers_at_every_look(mode: Mode, share: float) -> None:
    """400 sequences: the truth leaves the interval ever in at most alpha of them."""
    rng = np.random.default_rng(7)
    values = values_of(mode, share, 0.75)
    truth = 0.05
    chances = [0.1, 0.75, 0.15] if mode == "shadow" else [
        (1 - share) * 0.3, (1 - share) * 0.7, share * 0.25, share * 0.75]  # fmt: skip
    kinds = np.searchsorted(np.cumsum(chances)[:-1], rng.random((400, 1_000)))
    seen = np.stack([(kinds == kind).cumsum(axis=1) for kind in range(len(values))], axis=-1)
    edge = threshold_of(0.05)
    above = log_evidence(seen.astype(np.float64), values, truth) >= edge
    below = log_evidence(seen.astype(np.float64), -values, -truth) >= edge
    missed = int((above | below).any(axis=1).sum())
    assert missed <= 33  # binom.ppf(0.999, 400, 0.05)
