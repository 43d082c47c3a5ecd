"""Scores of probabilities against true categories.

All take probabilities of shape (n, 15), in the order of CATEGORIES, and places of the
true categories, shape (n,). Definitions are scikit-learn's where it has one; averages
over categories leave out those that do not occur.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crimeguard.domain.category import CATEGORIES
from crimeguard.features.columns import Floats, Ints

ECE_BINS: Final = 15


@dataclass(frozen=True, slots=True)
class CategoryScore:
    """How one category fares against the others."""

    category: str
    support: int
    predicted: int
    precision: float
    recall: float
    f1: float
    roc_auc: float | None


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of one group of incidents."""

    rows: int
    accuracy: float
    weighted_f1: float
    macro_f1: float
    macro_roc_auc: float
    weighted_roc_auc: float
    log_loss: float
    ece: float
    top3: float

    def to_dict(self) -> dict[str, float]:
        """Return the scores by name."""
        return {name: getattr(self, name) for name in self.__slots__}


def score(probabilities: Floats, target: Ints) -> Scores:
    """Compute every score; ValueError if there is nothing to score, or an answer is no number."""
    if not len(target):
        raise ValueError("there are no incidents to score")
    if not np.isfinite(probabilities).all():
        raise ValueError("there are probabilities that are not numbers")
    categories = per_category(probabilities, target)
    present = [item for item in categories if item.support]
    support = np.array([item.support for item in present], float)
    f1 = np.array([item.f1 for item in present])
    auc = np.array([np.nan if item.roc_auc is None else item.roc_auc for item in present])
    ranked = ~np.isnan(auc)
    # A category with no true and no predicted incident is none of this group's.
    predicted = [item.f1 for item in categories if item.support or item.predicted]
    return Scores(
        rows=len(target),
        accuracy=float((probabilities.argmax(axis=1) == target).mean()),
        weighted_f1=float(np.average(f1, weights=support)),
        macro_f1=float(np.mean(predicted)),
        macro_roc_auc=float(auc[ranked].mean()) if ranked.any() else float("nan"),
        weighted_roc_auc=(
            float(np.average(auc[ranked], weights=support[ranked])) if ranked.any() else np.nan
        ),
        log_loss=log_loss(probabilities, target),
        ece=expected_calibration_error(probabilities, target),
        top3=top_share(probabilities, target, 3),
    )


def per_category(probabilities: Floats, target: Ints) -> list[CategoryScore]:
    """Return precision, recall, F1 and one-against-the-rest ROC-AUC of each category."""
    table = confusion(probabilities, target)
    result = []
    for place, category in enumerate(CATEGORIES):
        hit, support, predicted = table[place, place], table[place].sum(), table[:, place].sum()
        result.append(
            CategoryScore(
                category=category,
                support=int(support),
                predicted=int(predicted),
                precision=float(hit / predicted) if predicted else 0.0,
                recall=float(hit / support) if support else 0.0,
                f1=float(2 * hit / (support + predicted)) if support + predicted else 0.0,
                roc_auc=roc_auc(probabilities[:, place], target == place),
            )
        )
    return result


def confusion(probabilities: Floats, target: Ints) -> Ints:
    """Return counts of shape (15 true, 15 predicted)."""
    size = len(CATEGORIES)
    flat = np.bincount(target * size + probabilities.argmax(axis=1), minlength=size * size)
    return flat.reshape(size, size).astype(np.int64)


def roc_auc(scores: Floats, positive: NDArray[np.bool_]) -> float | None:
    """Return the chance that a positive outranks a negative; None if one kind is missing."""
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return None
    # Mann-Whitney U on ranks, ties at their mean.
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[place]
    u = rank[positive].sum() - positives * (positives + 1) / 2
    return float(u / positives / negatives)


def log_loss(probabilities: Floats, target: Ints) -> float:
    """Return the mean negative log-probability of the truth, in nats."""
    true = probabilities[np.arange(len(target)), target]
    return float(-np.log(np.maximum(true, 1e-15)).mean())


def top_share(probabilities: Floats, target: Ints, best: int) -> float:
    """Return the share of incidents whose category is among the `best` most probable."""
    true = probabilities[np.arange(len(target)), target]
    return float(((probabilities > true[:, None]).sum(axis=1) < best).mean())


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Incidents whose confidence lies in (`low`, `high`]: mean confidence against accuracy."""

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


def calibration_bins(
    probabilities: Floats, target: Ints, bins: int = ECE_BINS
) -> list[CalibrationBin]:
    """Group incidents by confidence into bins of equal width; empty bins are left out."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == target
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return [
        CalibrationBin(
            low=index / bins,
            high=(index + 1) / bins,
            rows=int((place == index).sum()),
            confidence=float(confidence[place == index].mean()),
            accuracy=float(correct[place == index].mean()),
        )
        for index in range(bins)
        if (place == index).any()
    ]


def expected_calibration_error(probabilities: Floats, target: Ints) -> float:
    """Return the mean gap between confidence and accuracy over 15 bins (Naeini et al. 2015)."""
    bins = calibration_bins(probabilities, target)
    gaps = sum(item.rows * abs(item.confidence - item.accuracy) for item in bins)
    return gaps / len(target)
