"""Predictions as a table: what `crimeguard predict` writes and the API answers beside JSON."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.level import InformationLevel
from crimeguard.features.columns import Floats, Ints

_LEVELS = tuple(level.label for level in InformationLevel)


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
            "information_level": named(levels, _LEVELS),
            **{f"p_{name}": probabilities[:, place] for place, name in enumerate(CATEGORIES)},
        }
    )


def answer_table(
    dr_no: pl.Series | Sequence[str | None],
    probabilities: Floats,
    levels: Ints,
    inside: NDArray[np.bool_],
    ids: Sequence[str],
) -> pl.DataFrame:
    """Lay out what was answered: a prediction table with two columns more.

    Parameters
    ----------
    inside
        Membership in the prediction sets, shape (n, 15).
    ids
        The identifiers of the predictions, by which their labels are told, length n.
    """
    table = prediction_table(dr_no, probabilities, levels)
    table.insert_column(1, pl.Series("prediction_id", ids, dtype=pl.String))
    return table.insert_column(4, prediction_sets(probabilities, inside).alias("prediction_set"))


def prediction_sets(probabilities: Floats, inside: NDArray[np.bool_]) -> pl.Series:
    """Return the names of each set as a list, the likeliest first."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    chosen = np.take_along_axis(inside, order, axis=1)
    members = named(order[chosen], CATEGORIES).implode()
    lengths = inside.sum(axis=1)
    places = pl.DataFrame({"start": np.cumsum(lengths) - lengths, "length": lengths})
    return places.select(pl.lit(members).list.slice("start", "length")).to_series()


def named(places: Ints, names: Sequence[str]) -> pl.Series:
    """Replace places in `names` by the names, as one column."""
    return pl.Series(list(names), dtype=pl.String).gather(places)
