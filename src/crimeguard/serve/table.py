"""Predictions as a table: what `crimeguard predict` writes and the API answers as CSV."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.level import InformationLevel
from crimeguard.features.columns import Floats, Ints


def prediction_table(
    dr_no: pl.Series | Sequence[str | None], probabilities: Floats, levels: Ints
) -> pl.DataFrame:
    """Lay out predictions, one row an incident, in input order.

    Parameters
    ----------
    dr_no
        The portal's numbers of the rows, length n; None where there is none.
    probabilities
        Shape (n, 15), in the order of CATEGORIES.
    levels
        What was known of each incident, shape (n,).
    """
    best = probabilities.argmax(axis=1)
    rows = np.arange(len(probabilities))
    return pl.DataFrame(
        {
            "DR_NO": pl.Series(dr_no, dtype=pl.String),
            "prediction": named(best, CATEGORIES),
            "confidence": probabilities[rows, best],
            "information_level": named(levels, [level.label for level in InformationLevel]),
            **{f"p_{name}": probabilities[:, place] for place, name in enumerate(CATEGORIES)},
        }
    )


def named(places: Ints, names: Sequence[str]) -> pl.Series:
    """Replace places in `names` by the names, as one column."""
    return pl.Series(list(names), dtype=pl.String).gather(places)
