"""Whether other parameters are better, or were lucky."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crimeguard.evaluate.comparison import Interval
from crimeguard.train.nested import Days
from crimeguard.train.params import TuningParams


@dataclass(frozen=True, slots=True)
class Change:
    """Log-loss before and after on the same incidents, and the gain: before minus after."""

    incidents: int
    before: float
    after: float
    gain: Interval

    def to_dict(self) -> dict[str, object]:
        """Return plain values; ends that are not finite are None."""
        low, high = (end if np.isfinite(end) else None for end in (self.gain.low, self.gain.high))
        return {
            "incidents": self.incidents, "before": self.before, "after": self.after,
            "gain": {"estimate": self.gain.estimate, "low": low, "high": high},
        }  # fmt: skip


def change(before: Sequence[Days], after: Sequence[Days], confidence: float) -> Change:
    """Compare two models on the same folds, pair by pair, by whole days.

    One event often makes several reports on a day, so a day is drawn as one: a ratio estimate
    of clusters (Cochran 1977, chapter 6), with Student's t for the few days there are. A
    single day has no interval: it reaches from minus to plus infinity.
    """
    from scipy.stats import t

    was = np.array([day for fold in before for day in fold])
    now = np.array([day for fold in after for day in fold])
    if was.shape != now.shape or not np.array_equal(was[:, 0], now[:, 0]):
        raise ValueError("the two were not scored on the same days")
    counts, gains = was[:, 0], was[:, 1] - now[:, 1]
    days, total = len(counts), counts.sum()
    mean = gains.sum() / total
    half = np.inf
    if days > 1:
        spread = np.sum((gains - mean * counts) ** 2) * days / (days - 1)
        half = t.ppf((1 + confidence) / 2, days - 1) * np.sqrt(spread) / total
    return Change(
        int(total), float(was[:, 1].sum() / total), float(now[:, 1].sum() / total),
        Interval(float(mean), float(mean - half), float(mean + half)),
    )  # fmt: skip


def refusal(confirmed: Change, params: TuningParams) -> str:
    """Say why a change is not proposed; '' if it is."""
    gain = confirmed.gain
    if gain.low <= 0:
        return (
            f"the gain on days that no trial has seen, {gain}, is within noise: its "
            f"{params.confidence:.0%} interval does not lie above 0"
        )
    if gain.estimate < params.min_gain:
        return f"the gain, {gain}, is below {params.min_gain:g} nats (min_gain)"
    return ""
