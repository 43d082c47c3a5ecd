"""From an export's text columns to a canonical frame, one distinct value at a time.

The repair functions of the domain are plain Python and the only ones there are. An
export of a million rows holds few distinct values a column, so each is repaired once
and joined back: the same meaning on every path, at a columnar engine's speed. Two columns
hold nearly as many values as rows; what is plain in them the engine reads by itself, and a
test holds it to the repair functions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl

from crimeguard.domain.errors import BadValue, DataError
from crimeguard.domain.field import BY_NAME, CANONICAL_NAMES, FIELDS, Field

DTYPES: Final[dict[str, pl.DataType]] = {
    "text": pl.String(),
    "date": pl.Date(),
    "int": pl.Int32(),
    "float": pl.Float64(),
    "codes": pl.List(pl.Int16()),
}
SCHEMA: Final = {item.name: DTYPES[item.kind] for item in FIELDS}
_PLACES: Final = ("area", "rpt_dist_no", "lat", "lon")
EVIDENCE: Final = 20  # bad values that are kept word for word
_LONGEST: Final = 80  # characters of a bad value or heading that are shown
_REPEATED: Final = re.compile(r"_duplicated_\d+$")  # Polars' name for a second heading
# Texts that are what they should be: reports' numbers, and MO codes in four digits as the
# portal writes them; 0000 is none.
_CODE: Final = "(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_PLAIN: Final = {"dr_no": "^[0-9]+$", "mocodes": f"^{_CODE}(?: {_CODE})*$"}
_SHIFT: Final = 14  # bits that hold an MO code


@dataclass(frozen=True)
class Reading:
    """A canonical frame, and what could not be understood on the way to it.

    `frame` has one row an input row, in its order. `bad_rows` holds the 0-based
    positions of the rows with a bad value, `faults` these values in words, `bad` the first
    of them.
    """

    frame: pl.DataFrame
    bad: tuple[BadValue, ...] = ()
    bad_rows: frozenset[int] = frozenset()
    ignored: tuple[str, ...] = field(default=())
    faults: tuple[BadValue, ...] = ()

    def require_clean(
        self, source: str, fix: str = "Correct them, or leave these rows out with --on-bad drop."
    ) -> pl.DataFrame:
        """Return the frame; raise DataError if any value could not be understood."""
        if self.bad_rows:
            raise DataError(
                f"{len(self.bad_rows):,} of {self.frame.height:,} rows of {source} "
                "hold values that cannot be understood.",
                why="; ".join(map(str, self.bad[:3])) + ".",
                fix=fix,
                bad=self.bad,
            )
        return self.frame

    def drop_bad(self) -> pl.DataFrame:
        """Return the frame without the rows that hold a bad value."""
        if not self.bad_rows:
            return self.frame
        keep = ~pl.int_range(pl.len()).is_in(sorted(self.bad_rows))
        return self.frame.filter(keep)


def canonical(frame: pl.DataFrame, *, source: str = "the data") -> Reading:
    """Repair every known column of an export; unknown columns are ignored and named.

    Raises DataError when a column is there twice, or when and where are missing.
    """
    known, ignored = _match_columns(frame.columns, source)
    faults: list[BadValue] = []
    bad_rows: set[int] = set()
    columns: dict[str, pl.Series] = {}
    for column, item in known.items():
        columns[item.name], found = _repair_column(frame[column], item)
        faults += _in_words(found, column)
        bad_rows.update(found)
    result = pl.DataFrame(columns)
    unplaced = _without_when_or_where(result, bad_rows)
    faults += _in_words(unplaced, "")
    bad_rows.update(unplaced)
    return Reading(result, tuple(faults[:EVIDENCE]), frozenset(bad_rows), ignored, tuple(faults))


def _match_columns(columns: Sequence[str], source: str) -> tuple[dict[str, Field], tuple[str, ...]]:
    known: dict[str, Field] = {}
    ignored: list[str] = []
    for column in columns:
        heading = _REPEATED.sub("", column.lstrip("\ufeff").strip())
        name = CANONICAL_NAMES.get(heading)
        if name is None:
            ignored.append(column)
        elif name in {item.name for item in known.values()}:
            raise DataError(f"{source} holds the column {name!r} twice.",
                            why=f"{heading!r} names it again.",
                            fix="Remove one of the two.")  # fmt: skip
        elif name in BY_NAME:
            known[column] = BY_NAME[name]
    names = {item.name for item in known.values()}
    has_place = {"area", "rpt_dist_no"} & names or {"lat", "lon"} <= names
    if "date_occ" not in names or not has_place:
        raise DataError(
            f"{source} does not hold incidents.",
            why="A table of incidents has the columns 'DATE OCC' and 'AREA' (or 'Rpt Dist No', "
            f"or 'LAT' and 'LON'); this one has {_listing(columns)}.",
            fix="Give an export in the portal's 28-column form; `crimeguard simulate` makes one.",
        )
    return known, tuple(ignored)


def _listing(columns: Sequence[str]) -> str:
    shown = ", ".join(repr(column[:_LONGEST]) for column in columns[:8])
    return shown + (f" and {len(columns) - 8} more" if len(columns) > 8 else "") or "no column"


def _as_text(series: pl.Series) -> pl.Series:
    """Write a typed column the way an export would, so that one repair serves all."""
    if isinstance(series.dtype, pl.Array):
        series = series.arr.to_list()
    if isinstance(series.dtype, pl.List):
        return series.cast(pl.List(pl.String)).list.join(" ")
    if series.dtype.is_float():
        series = series.fill_nan(None)
    return series.cast(pl.String)


def _repair_column(series: pl.Series, item: Field) -> tuple[pl.Series, dict[int, tuple[str, str]]]:
    try:
        text = _as_text(series).alias("raw")
    except pl.exceptions.PolarsError:
        raise DataError(f"The column {series.name!r} cannot be read as text.",
                        why=f"Its type is {series.dtype}.",
                        fix="Write it as text, numbers or dates.") from None  # fmt: skip
    plain = _is_plain(text, item)
    odd = text.unique() if plain is None else text.filter(~plain).unique()
    values: list[Any] = []
    reasons: dict[str, str] = {}
    for raw in odd:
        try:
            values.append(item.repair(raw or ""))
        except ValueError as error:
            values.append(None)
            reasons[raw] = str(error)
    repaired = pl.Series("value", values, dtype=DTYPES[item.kind], strict=False)
    found: dict[int, tuple[str, str]] = {}
    if reasons:
        rows = text.is_in(list(reasons)).fill_null(value=False).arg_true()
        found = {row: (text[row][:_LONGEST], reasons[text[row]]) for row in rows}
    return _filled(text, plain, pl.DataFrame([odd, repaired]), item).alias(item.name), found


def _is_plain(text: pl.Series, item: Field) -> pl.Series | None:
    """Tell which texts the engine can read by itself; None if those of no such field."""
    form = _PLAIN.get(item.name)
    return None if form is None else text.str.contains(form).fill_null(value=False)


def _filled(text: pl.Series, plain: pl.Series | None, odd: pl.DataFrame, item: Field) -> pl.Series:
    """Return each row's value: the engine's where the text is plain, else that in `odd`."""
    if plain is None or not plain.all():
        looked_up = text.to_frame().join(
            odd, on="raw", how="left", nulls_equal=True, maintain_order="left"
        )["value"]
        if plain is None:
            return looked_up
        text = pl.select(raw=pl.when(plain).then(text)).to_series()
    read = _read_codes(text) if item.kind == "codes" else text
    return read if plain.all() else read.zip_with(plain, looked_up)


def _read_codes(text: pl.Series) -> pl.Series:
    """Read plain MO codes as sorted sets; of null comes [0], which stands for nothing.

    All codes are sorted at once: the engine takes longer to sort many short lists.
    """
    lists = text.fill_null("0").str.split(" ").cast(pl.List(pl.Int16))
    row = np.repeat(np.arange(len(text)), lists.list.len().to_numpy())
    keys = row << _SHIFT | lists.explode(empty_as_null=True).to_numpy()
    risen = np.diff(keys) > 0
    if risen.all():
        return lists
    keys.sort()
    keys = keys[np.append(True, np.diff(keys) > 0)]
    codes = pl.DataFrame(
        {"row": keys >> _SHIFT, "code": (keys & ((1 << _SHIFT) - 1)).astype(np.int16)}
    )
    return codes.group_by(pl.col("row").set_sorted(), maintain_order=True).agg("code")["code"]


def _in_words(found: dict[int, tuple[str, str]], column: str) -> list[BadValue]:
    return [
        BadValue(row + 1, column or ("DATE OCC" if "when" in reason else "AREA"), value, reason)
        for row, (value, reason) in found.items()
    ]


def _without_when_or_where(frame: pl.DataFrame, bad: set[int]) -> dict[int, tuple[str, str]]:
    """Find rows that say neither when nor where, unless a bad value already explains it."""
    place = {name: pl.col(name) if name in frame.columns else pl.lit(None) for name in _PLACES}
    no_place = (
        place["area"].is_null()
        & place["rpt_dist_no"].is_null()
        & (place["lat"].is_null() | place["lon"].is_null())
    )
    marks = frame.select(when=pl.col("date_occ").is_null(), where=no_place)
    found = {row: ("", "is missing: give AREA, Rpt Dist No, or LAT and LON")
             for row in marks["where"].arg_true() if row not in bad}  # fmt: skip
    found |= {row: ("", "is missing: when did it happen?")
              for row in marks["when"].arg_true() if row not in bad}  # fmt: skip
    return found
