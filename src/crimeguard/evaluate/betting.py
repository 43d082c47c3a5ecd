"""Evidence that one model is better than another, valid however often it is looked at.

Each labelled incident gives an unbiased estimate of the difference in accuracy, challenger
minus champion, that takes only a few values:

- shadow, where both answer the same incident: 1, 0 or -1, as one, none or the other alone is
  right;
- split, where chance lets the challenger answer a share s: (y - m) / s if it did and
  -(y - m) / (1 - s) if not, with y = 1 for a right answer (Horvitz and Thompson 1952). The
  baseline m, fixed beforehand, takes variance away and biases nothing.

The test bets on these values (Waudby-Smith and Ramdas 2024, "Estimating means of
bounded random variables by betting", JRSS-B 86). Against "the mean is at most d" it stakes a
fixed fraction c of its capital on every incident, whose factor 1 - c + c (z - a) / (d - a),
with a the least value, is then at most 1 in the mean; the evidence is the mean capital over a
grid of fractions. By Ville's inequality it ever reaches 2 / alpha with a chance of at most
alpha / 2, however often one looks and whenever one stops, and likewise for "at least d": an
error of alpha on both sides together. In a shadow this is a mixture of likelihood ratios on
the discordant pairs alone. The interval holds the d that are not rejected.

Assumed is, of the incidents in the order in which they come to be used: given all before it,
the next one's difference has mean at most 0 if the challenger is no better. They may change
with time, and need not be alike. In a split whom an incident meets must not change whether it
gets a label; in neither mode may labels arrive according to who was right.
"""

from __future__ import annotations

import math
from typing import Final, Literal, get_args

import numpy as np

from crimeguard.features.columns import Floats

Mode = Literal["shadow", "split"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)
FRACTIONS: Final[Floats] = np.geomspace(0.003, 0.9, 12)
_CLOSE: Final = 1e-6  # how exactly the ends of an interval are found


def values_of(mode: Mode, share: float, baseline: float) -> Floats:
    """Return the values that one incident's estimate of the difference may take, shape (k,).

    Of a shadow: only the champion right, both or none, only the challenger. Of a split:
    the champion wrong, the champion right, the challenger wrong, the challenger right.
    """
    if mode == "shadow":
        return np.array([-1.0, 0.0, 1.0])
    right, wrong = 1 - baseline, -baseline
    return np.array([-wrong / (1 - share), -right / (1 - share), wrong / share, right / share])


def log_evidence(counts: Floats, values: Floats, null: float = 0.0) -> Floats:
    """Return the logarithm of the evidence that the mean of the values is above `null`.

    Parameters
    ----------
    counts
        How often each value was seen, shape (..., k).
    values
        Shape (k,). Negated, with `null` negated, the evidence is that it is below.
    """
    least = values.min()
    factors = 1 + FRACTIONS[:, None] * ((values - least) / (null - least) - 1)
    capital = counts @ np.log(factors).T
    most = capital.max(axis=-1, keepdims=True)
    mean: Floats = np.log(np.exp(capital - most).mean(axis=-1)) + most[..., 0]
    return mean


def threshold_of(alpha: float) -> float:
    """Return the logarithm of the evidence that decides, on either side."""
    return math.log(2 / alpha)


def interval_of(counts: Floats, values: Floats, alpha: float) -> tuple[float, float]:
    """Return the differences that the evidence does not reject, within -1 and 1.

    The evidence falls as `null` grows, so that halving finds where it is enough.
    """
    low = _rejected_below(counts, values, threshold_of(alpha))
    high = -_rejected_below(counts, -values, threshold_of(alpha))
    return low, high


def _rejected_below(counts: Floats, values: Floats, threshold: float) -> float:
    low, high = -1.0, 1.0
    while high - low > _CLOSE:
        middle = (low + high) / 2
        if log_evidence(counts, values, middle) >= threshold:
            low = middle
        else:
            high = middle
    return low
