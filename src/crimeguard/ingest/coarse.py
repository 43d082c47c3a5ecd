"""A whole frame with its places no finer than the portal publishes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import polars as pl

from crimeguard.domain.block import (
    ADDRESSES,
    DEGREES,
    PER_DEGREE,
    PUBLISHED,
    UNIT,
    coarse_degrees,
    to_block,
)

_ON_GRID: Final = r"^\s*[+-]?[0-9]+(?:\.[0-9]{0,4})?\s*$"
_IN_FORM: Final = f"^(?:{PUBLISHED})$"


def coarse(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame, canonical or as exported, as `domain.block.coarsened` does its rows.

    The very frame if nothing in it is finer than published. Columns that are neither text
    nor numbers are left alone.
    """
    changed = [
        series for name in (*ADDRESSES, *DEGREES) if name in frame.columns
        and (series := _coarse(frame[name])) is not None
    ]  # fmt: skip
    return frame.with_columns(changed) if changed else frame


def _coarse(series: pl.Series) -> pl.Series | None:
    """Return the column made coarser, None if it is coarse enough."""
    if series.dtype == pl.String:
        if series.name in ADDRESSES:
            fine = ~series.str.contains(_IN_FORM) | series.str.contains(UNIT)
            return _replaced(series, fine, to_block)
        return _replaced(series, ~series.str.contains(_ON_GRID), coarse_degrees)
    if series.name in DEGREES and series.dtype.is_float():
        fine = series.ne_missing(_rounded(series))
        return _rounded(series) if fine.any() else None
    return None


def _rounded(series: pl.Series) -> pl.Series:
    # NumPy, because it divides as Python does: Polars multiplies by the reciprocal, which
    # moves every fourth published coordinate by a bit.
    degrees = np.floor(series.cast(pl.Float64).to_numpy() * PER_DEGREE + 0.5) / PER_DEGREE
    rounded = pl.Series(series.name, degrees).set(series.is_null(), None)
    return rounded.cast(series.dtype)


def _replaced(series: pl.Series, fine: pl.Series, repair: Callable[[str], str]) -> pl.Series | None:
    distinct = series.filter(fine).unique().drop_nulls()
    if distinct.is_empty():
        return None
    new = [repair(text) for text in distinct]
    return series.replace(distinct, pl.Series(new, dtype=pl.String))
