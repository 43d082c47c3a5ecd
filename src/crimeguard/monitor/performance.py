"""How well the champion does: estimated without labels, realised where there are some.

The estimate is confidence-based (CBPE): calibrated probabilities say themselves how often
they are right. It holds as long as p(category | incident) stays what it was; where that
changes (codes that are used otherwise) it is blind, and only labels tell.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from crimeguard.domain.level import InformationLevel
from crimeguard.evaluate.reference import Reference
from crimeguard.features.columns import Floats
from crimeguard.monitor.component import Component
from crimeguard.monitor.observed import Observed

LEAST_LABELS: Final = 100
_Z95: Final = 1.96
_Z999: Final = 3.3
# What accuracy may fall short of its estimate, and the estimate of the hold-out.
SHORTFALL: Final = 0.03
DECLINE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share with its 95 % interval; `error` is its standard error."""

    value: float
    low: float
    high: float
    error: float
    rows: int

    @classmethod
    def around(cls, value: float, error: float, rows: int) -> Estimate:
        """Put the interval around a value, all within 0 and 1."""
        value = min(1.0, max(0.0, value))
        return cls(value, max(0.0, value - _Z95 * error), min(1.0, value + _Z95 * error),
                   error, rows)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Performance:
    """Accuracy of one window.

    `expected` is that of the hold-out at the window's mix of levels; `estimated` what the
    probabilities promise, `realised` what the mature labels say (None: too few), and
    `promised` the estimate for just the incidents with labels.
    """

    expected: float
    estimated: Estimate
    realised: Estimate | None
    promised: Estimate | None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-able values."""
        return asdict(self)


def measure_performance(reference: Reference, observed: Observed) -> Performance:
    """Estimate accuracy on all incidents, and compare it with the labels there are."""
    shares = _shares(observed)
    expected = sum(share * reference.levels[label].accuracy for label, share in shares.items())
    labelled = observed.matured
    enough = len(labelled) >= LEAST_LABELS
    return Performance(
        expected=float(expected),
        estimated=estimate_accuracy(reference, observed),
        realised=_realised(labelled) if enough else None,
        promised=estimate_accuracy(reference, labelled) if enough else None,
    )


def estimate_accuracy(reference: Reference, observed: Observed) -> Estimate:
    """Estimate accuracy from the probabilities alone.

    Each incident is right with the probability that its answer has, moved by what the
    level's answers were off on the hold-out. The interval is one for the accuracy that
    labels would show: chance in the incidents, the error of that correction, and how much
    it varies from day to day.
    """
    sure = observed.probabilities.max(axis=1)
    variance = float((sure * (1 - sure)).sum()) / len(sure) ** 2
    value = float(sure.mean())
    for label, share in _shares(observed).items():
        level = reference.levels[label]
        value += share * level.gap
        variance += share**2 * (level.gap_error**2 + level.gap_spread**2)
    return Estimate.around(value, math.sqrt(variance), len(sure))


def performance_components(performance: Performance) -> list[Component]:
    """Return what the alarm is about: a decline that is foreseen, a shortfall that is seen."""
    estimated = performance.estimated
    decline = performance.expected - estimated.value
    found = [
        Component(
            "estimated accuracy", "performance", max(0.0, decline), DECLINE,
            decline > _Z999 * estimated.error,
            f"{performance.expected:.1%} on the hold-out, {estimated.value:.1%} estimated now",
        )
    ]  # fmt: skip
    realised, promised = performance.realised, performance.promised
    if realised is not None and promised is not None:
        short = promised.value - realised.value
        found.append(
            Component(
                "realised accuracy", "performance", max(0.0, short), SHORTFALL,
                short > _Z999 * promised.error,
                f"{promised.value:.1%} promised, {realised.value:.1%} realised "
                f"on {realised.rows:,} labels",
            )
        )  # fmt: skip
    return found


def _shares(observed: Observed) -> dict[str, float]:
    counts = np.bincount(observed.level, minlength=len(InformationLevel)) / max(len(observed), 1)
    return {level.label: float(counts[level]) for level in InformationLevel if counts[level]}


def _realised(labelled: Observed) -> Estimate:
    hits: Floats = (labelled.probabilities.argmax(axis=1) == labelled.label).astype(np.float64)
    # Wilson's interval, which keeps its promise near 0 and 1 too.
    n, share = len(hits), float(hits.mean())
    centre = (share + _Z95**2 / (2 * n)) / (1 + _Z95**2 / n)
    half = _Z95 / (1 + _Z95**2 / n) * math.sqrt(share * (1 - share) / n + _Z95**2 / (4 * n * n))
    return Estimate(share, centre - half, centre + half, math.sqrt(share * (1 - share) / n), n)
