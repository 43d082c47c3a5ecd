"""Score a whole file: in parallel chunks, in input order, written at once or not at all."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import polars as pl

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.errors import UsageError
from crimeguard.domain.level import InformationLevel
from crimeguard.features.columns import Columns, Floats
from crimeguard.ingest.writer import replacing
from crimeguard.serve.chunks import in_chunks
from crimeguard.serve.table import prediction_table
from crimeguard.train.model import Model

# What `score_rows` is: here, or on a cluster.
Score = Callable[[Model, Columns, Callable[[int], None]], Floats]


def score_rows(
    model: Model, columns: Columns, on_rows: Callable[[int], None] = lambda _: None
) -> Floats:
    """Return probabilities of shape (n, 15); chunks on all cores, one thread each."""
    shares = np.empty((len(columns), len(CATEGORIES)))

    def chunk(start: int, stop: int) -> None:
        shares[start:stop] = model.probabilities(columns.rows(start, stop))

    for start, stop, _ in in_chunks(len(columns), chunk):
        on_rows(stop - start)
    return shares


def prediction_frame(
    model: Model,
    frame: pl.DataFrame,
    *,
    level: InformationLevel | None = None,
    unreadable: Collection[int] = (),
    on_rows: Callable[[int], None] = lambda _: None,
    score: Score = score_rows,
) -> pl.DataFrame:
    """Predict every row of a canonical frame; rows at `unreadable` positions are left blank.

    `score` asks the model, by default on this machine's cores.
    """
    rows = frame.height
    readable = np.setdiff1d(np.arange(rows), np.fromiter(unreadable, np.int64))
    columns = Columns.from_frame(frame[readable], level=level)
    numbers = (
        frame["dr_no"] if "dr_no" in frame.columns else pl.Series([None] * rows, dtype=pl.String)
    )
    table = prediction_table(numbers[readable], score(model, columns, on_rows), columns.level)
    if not unreadable:
        return table
    place = np.full(rows, -1)
    place[readable] = np.arange(len(readable))
    spread = table.drop("DR_NO")[pl.Series(np.where(place < 0, 0, place))]
    blank = pl.Series(place < 0)
    return spread.select(
        numbers.alias("DR_NO"),
        *(pl.when(~blank).then(pl.col(name)).alias(name) for name in spread.columns),
    )


def require_ending(path: Path) -> None:
    """Raise UsageError unless a table can be written under this name."""
    if not path.name.lower().endswith((".csv", ".csv.gz", ".parquet")):
        raise UsageError(f"{path} is of no kind that is written here.",
                         fix="Choose a name that ends in .csv, .csv.gz or .parquet.")  # fmt: skip


def write_predictions(table: pl.DataFrame, path: Path) -> None:
    """Write a table as CSV, CSV.gz or Parquet, by the ending of the path."""
    require_ending(path)
    name = path.name.lower()
    with replacing(path) as file:
        if name.endswith(".parquet"):
            table.write_parquet(file)
        elif name.endswith(".gz"):
            file.write(gzip.compress(table.write_csv().encode(), 3, mtime=0))
        else:
            table.write_csv(file)
