"""What the rows of a canonical frame say of themselves: their categories, and their city."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import polars as pl

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.city import CITIES, LOS_ANGELES, City
from crimeguard.domain.codes import crime_codes
from crimeguard.domain.errors import BadValue, DataError
from crimeguard.domain.offense import offenses
from crimeguard.ingest.frame import Reading

# Columns that name what was reported; the first is the LAPD's, the other any coding's.
CODE_COLUMNS: Final = ("crm_cd", "offense")


def category_places(frame: pl.DataFrame) -> pl.Series:
    """Return each row's place in CATEGORIES; null where it names no code that a table knows.

    Where a row has both, `offense` counts.
    """
    offense = {name: CATEGORIES.index(known.category) for name, known in offenses().items()}
    crime = {code: CATEGORIES.index(known.category) for code, known in crime_codes().items()}
    return frame.with_columns(
        pl.when(_column(frame, "offense").is_not_null())
        .then(_looked_up(frame, "offense", offense))
        .otherwise(_looked_up(frame, "crm_cd", crime))
        .alias("_category")
    )["_category"]


def code_text(frame: pl.DataFrame) -> pl.Series:
    """Return the code that each row's category comes from, as text; null without one."""
    own = _column(frame, "crm_cd").cast(pl.String)
    return frame.with_columns(_code=pl.coalesce(_column(frame, "offense"), own))["_code"]


def drop_uncoded(reading: Reading) -> Reading:
    """Mark the rows without a code that a table knows as bad, so that they can be left out.

    Each code is named once, with the number of its rows.
    """
    codes = code_text(reading.frame).fill_null("")
    places = category_places(reading.frame)
    rows = {row for row in places.is_null().arg_true() if row not in reading.bad_rows}
    if not rows:
        return reading
    counts = codes.gather(sorted(rows)).value_counts(sort=True)
    named = tuple(
        BadValue(int(codes.index_of(code) or 0) + 1, "Offense", code,
                 f"is in no code table ({count:,} rows)")
        for code, count in counts.iter_rows()
    )  # fmt: skip
    return replace(reading, bad=(*reading.bad, *named), bad_rows=reading.bad_rows | rows)


def has_codes(frame: pl.DataFrame) -> bool:
    """Tell whether the frame has a column that names what was reported."""
    return any(name in frame.columns for name in CODE_COLUMNS)


def city_of(frame: pl.DataFrame) -> City:
    """Return the city of all rows; Los Angeles where none is named. DataError for several."""
    cities = frame["city"].fill_null(LOS_ANGELES).unique().to_list() if "city" in frame else []
    if len(cities) > 1:
        raise DataError("The rows are of several cities.",
                        why=f"They name {', '.join(sorted(cities))}.",
                        fix="Give the rows of one city; a model is of one city too.")  # fmt: skip
    return CITIES[cities[0] if cities else LOS_ANGELES]


def _column(frame: pl.DataFrame, name: str) -> pl.Expr:
    return pl.col(name) if name in frame.columns else pl.lit(None)


def _looked_up(frame: pl.DataFrame, name: str, table: dict[str, int] | dict[int, int]) -> pl.Expr:
    if name not in frame.columns:
        return pl.lit(None, pl.Int64)
    return pl.col(name).replace_strict(table, default=None, return_dtype=pl.Int64)
