"""Labels in a file: by the identifier of a prediction, or by the portal's own number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from crimeguard.domain.errors import BadValue, DataError
from crimeguard.domain.field import CANONICAL_NAMES
from crimeguard.domain.offense import offenses
from crimeguard.domain.repair import is_blank, repair_code, repair_number
from crimeguard.ingest.source import read_table
from crimeguard.records.database import Database
from crimeguard.records.labels import Label, add_labels, predictions_of, settle

_KEYS: Final = ("prediction_id", "dr_no")
_TELLS: Final = ("category", "crm_cd")
_EVIDENCE: Final = 20  # bad rows that are named
Repaired = tuple[str | None, int | None, str | None]


@dataclass(frozen=True, slots=True)
class LabelFile:
    """What a file tells, in its order.

    `key` is `prediction_id` or `dr_no`; `rows` has the columns key, category and crm_cd;
    `left_out` counts rows that could not be read.
    """

    key: str
    rows: pl.DataFrame
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file: `matched` of its rows are in the log, `unmatched` are not.

    `accepted` labels are new, `unchanged` were known; several predictions may have one
    row, so these need not add up to `matched`.
    """

    rows: int
    left_out: int
    matched: int
    unmatched: int
    accepted: int
    unchanged: int


def read_label_file(path: Path, *, drop_bad: bool = False) -> LabelFile:
    """Read CSV or Parquet with `prediction_id` or `DR_NO`, and `category` or `Crm Cd`.

    Or `Offense`, an offence of any coding, as a snapshot's partitions hold it.
    DataError names the rows that cannot be read, unless they are to be dropped.
    """
    table = _known_columns(read_table(path), path)
    key = next(name for name in _KEYS if name in table.columns)
    told = table.select(key, *_TELLS).with_row_index("row", offset=1)
    told = told.with_columns(
        _numbers(told[key]) if key == "dr_no" else pl.col(key).str.strip_chars()
    )
    told = told.join(_settled(told), on=list(_TELLS), how="left", nulls_equal=True,
                     maintain_order="left")  # fmt: skip
    told = told.with_columns(
        pl.when(pl.col(key).is_null()).then(pl.lit(f"has no {key}")).otherwise("reason")
        .alias("reason")
    )  # fmt: skip
    bad = told.filter(pl.col("reason").is_not_null())
    if bad.height and not drop_bad:
        raise _unreadable(bad, path, told.height)
    good = told.filter(pl.col("reason").is_null())
    rows = good.select(key=key, category="settled", crm_cd="code")
    return LabelFile(key, rows, bad.height)


def store(
    database: Database,
    labels: LabelFile,
    *,
    source: str,
    on_progress: Callable[[int], None] | None = None,
) -> Outcome:
    """Store what a file tells of logged predictions; the last row of a key holds.

    `on_progress` is told how many rows have been looked at.
    """
    keys = labels.rows["key"].unique(maintain_order=True).to_list()
    ids = None
    if labels.key == "dr_no":
        ids = predictions_of(database, keys, on_progress=on_progress)
    found = [
        Label(identifier, category, code, source)
        for key, category, code in labels.rows.iter_rows()
        for identifier in ((key,) if ids is None else ids.get(key, ()))
    ]
    added = add_labels(database, found, skip_unknown=True,
                       on_progress=on_progress if ids is None else None)  # fmt: skip
    unknown = set(added.unknown) if ids is None else set(keys) - ids.keys()
    unmatched = int(labels.rows["key"].is_in(list(unknown)).sum())
    return Outcome(
        labels.rows.height + labels.left_out, labels.left_out, labels.rows.height - unmatched,
        unmatched, added.accepted, added.unchanged,
    )  # fmt: skip


def _known_columns(table: pl.DataFrame, path: Path) -> pl.DataFrame:
    wanted = {**CANONICAL_NAMES, **{name: name for name in (*_KEYS, *_TELLS)}}
    columns: dict[str, pl.Series] = {}
    for column in table.columns:
        name = wanted.get(column.lstrip("\ufeff").strip())
        if name in (*_KEYS, *_TELLS) and name not in columns:
            columns[name] = table[column].cast(pl.String)
        elif name == "offense":
            columns.setdefault("category", _categories(table[column].cast(pl.String)))
    if not columns.keys() & set(_KEYS) or not columns.keys() & set(_TELLS):
        raise DataError(
            f"{path} does not hold labels.",
            why="A table of labels has the column prediction_id or DR_NO, and the column "
            f"category, Crm Cd or Offense; this one has {', '.join(map(repr, table.columns[:8]))}.",
            fix="Name the columns so, or give an export of the portal.",
        )
    found = pl.DataFrame(columns)
    blank = [pl.lit(None, pl.String).alias(name) for name in _TELLS if name not in columns]
    return found.with_columns(blank)


def _categories(offense: pl.Series) -> pl.Series:
    """Return categories of offences; one that no table knows stays as it is, and is refused."""
    table = {name: known.category.value for name, known in offenses().items()}
    return offense.str.strip_chars().replace(table)


def _numbers(numbers: pl.Series) -> pl.Series:
    return pl.Series(
        numbers.name, [None if text is None else repair_number(text) for text in numbers],
        dtype=pl.String,
    )  # fmt: skip


def _settled(told: pl.DataFrame) -> pl.DataFrame:
    """Say once of each distinct pair what it means, or why it means nothing."""
    pairs = told.select(_TELLS).unique()
    rows = [(*pair, *_settle(*pair)) for pair in pairs.iter_rows()]
    schema: dict[str, Any] = {
        "category": pl.String, "crm_cd": pl.String, "settled": pl.String, "code": pl.Int32,
        "reason": pl.String,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def _settle(category: str | None, crm_cd: str | None) -> Repaired:
    named = None if category is None or is_blank(category) else category.strip()
    try:
        code = repair_code(crm_cd or "")
        return settle(named, code), code, None
    except ValueError as error:
        return None, None, str(error)


def _unreadable(bad: pl.DataFrame, path: Path, rows: int) -> DataError:
    named = tuple(
        BadValue(
            row["row"],
            "crm_cd" if row["crm_cd"] else "category",
            (row["crm_cd"] or row["category"] or "")[:80],
            row["reason"],
        )
        for row in bad.head(_EVIDENCE).iter_rows(named=True)
    )
    return DataError(
        f"{bad.height:,} of {rows:,} rows of {path} cannot be read as labels.",
        why="; ".join(map(str, named[:3])) + ".",
        fix="Correct them, or leave these rows out with --on-bad drop.", bad=named,
    )  # fmt: skip
