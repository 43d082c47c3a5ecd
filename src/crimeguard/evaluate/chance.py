"""What chance alone makes of a score on few rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

from crimeguard.evaluate.metrics import CalibrationBin


def chance_error(bins: Sequence[CalibrationBin]) -> float:
    """Return the calibration error that a perfectly calibrated model would show by chance.

    The mean gap of a share of n incidents from its chance c is that of a normal of variance
    c (1 - c) / n (Bröcker and Smith 2007 draw it instead). Bins without doubt add nothing.
    """
    rows = sum(item.rows for item in bins)
    gaps = (
        item.rows * math.sqrt(2 / math.pi * item.confidence * (1 - item.confidence) / item.rows)
        for item in bins
        if item.confidence < 1
    )
    return sum(gaps) / rows if rows else 0.0
