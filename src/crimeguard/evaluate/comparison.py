"""Challenger against champion on the same incidents, by a paired bootstrap.

Whole incidents are drawn with replacement, each with the answers of both models at every
level (Efron and Tibshirani 1993, percentile interval): what is hard for both cancels out,
and all figures of one resample belong together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crimeguard.domain.level import InformationLevel
from crimeguard.features.columns import Floats, Ints

OVERALL: Final = "overall"
LEAST: Final = 1e-15  # as in metrics.log_loss
_DRAWN: Final = 4_000_000  # incidents drawn at a time: 32 MB

Answers = Mapping[InformationLevel, Floats]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean difference, challenger minus champion, and the ends of its interval."""

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.estimate:+.4f} ({self.low:+.4f} to {self.high:+.4f})"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Accuracy (share) and log-loss (nats) of the challenger minus those of the champion."""

    accuracy: Interval
    log_loss: Interval


def hits(probabilities: Floats, truth: Ints) -> Floats:
    """Return 1 for each right answer and 0 for each wrong one, shape (n,)."""
    right: Floats = (probabilities.argmax(axis=1) == truth).astype(np.float64)
    return right


def losses(probabilities: Floats, truth: Ints) -> Floats:
    """Return the negative log-probability of the truth, in nats, shape (n,)."""
    true = probabilities[np.arange(len(truth)), truth]
    lost: Floats = -np.log(np.maximum(true, LEAST))
    return lost


def differences(challenger: Floats, champion: Floats, truth: Ints) -> Floats:
    """Return challenger minus champion in accuracy and in log-loss, shape (n, 2).

    Raises ValueError for an answer that is no number.
    """
    if not (np.isfinite(challenger).all() and np.isfinite(champion).all()):
        raise ValueError("there are probabilities that are not numbers")
    return np.stack(
        [
            hits(challenger, truth) - hits(champion, truth),
            losses(challenger, truth) - losses(champion, truth),
        ],
        axis=1,
    )


def compare(
    challenger: Answers,
    champion: Answers,
    truth: Ints,
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> dict[str, Comparison]:
    """Compare two models at every level, and over all levels alike under `overall`."""
    if not len(truth) or not challenger:
        raise ValueError("there are no incidents to compare on")
    parts = [differences(challenger[level], champion[level], truth) for level in challenger]
    table = np.hstack([*parts, np.mean(parts, axis=0)])
    drawn = bootstrap_means(table, resamples, np.random.default_rng(seed))
    ends = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    intervals = [
        Interval(float(mean), float(low), float(high))
        for mean, low, high in zip(table.mean(axis=0), *ends, strict=True)
    ]
    names = [*(level.label for level in challenger), OVERALL]
    return {
        name: Comparison(intervals[2 * place], intervals[2 * place + 1])
        for place, name in enumerate(names)
    }


def bootstrap_means(table: Floats, resamples: int, rng: np.random.Generator) -> Floats:
    """Return the column means of resampled rows, shape (resamples, columns)."""
    rows = len(table)
    step = max(1, _DRAWN // rows)
    means = [
        _counts(rng.integers(0, rows, (min(step, resamples - begin), rows))) @ table / rows
        for begin in range(0, resamples, step)
    ]
    return np.concatenate(means)


def _counts(index: NDArray[np.int64]) -> Floats:
    """Count how often each row was drawn, for each resample; same shape as the draws."""
    resamples, rows = index.shape
    flat = index + rows * np.arange(resamples)[:, None]
    counts = np.bincount(flat.ravel(), minlength=resamples * rows)
    return counts.reshape(resamples, rows).astype(np.float64)
