"""The `file` source: CSV, CSV.gz, Parquet or Arrow in the portal's 28-column form."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import Final

import polars as pl

from crimeguard.domain.errors import DataError
from crimeguard.ingest.columnar import KINDS, read_columnar
from crimeguard.ingest.frame import Reading, canonical

SUFFIXES: Final = (".csv", ".csv.gz", *KINDS)


def read_file(path: Path) -> Reading:
    """Read and repair one file of incidents; DataError says what is wrong with it."""
    return read_bytes(_content(path), name=str(path))


def read_table(path: Path) -> pl.DataFrame:
    """Read one file as it is, whatever its columns; DataError says why it is no table."""
    return _table(_content(path), str(path))


def _content(path: Path) -> bytes:
    if path.is_dir():
        raise DataError(f"{path} is a folder.", fix="Name one file of incidents.")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"There is no file {path}.",
            fix="Check the path, or make one with `crimeguard simulate --rows 1000 --out x.csv`.",
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read.", why=f"{error.strerror}.") from None


def read_bytes(content: bytes, *, name: str, most_rows: int | None = None) -> Reading:
    """Read and repair an uploaded file; its kind is told by the ending of its name.

    TooManyRowsError if it says itself that it has more than `most_rows`; a CSV says nothing.
    """
    return canonical(_table(content, name, most_rows), source=name)


def _table(content: bytes, name: str, most_rows: int | None = None) -> pl.DataFrame:
    lower = name.lower()
    if not lower.endswith(SUFFIXES):
        raise DataError(f"{name} is of no kind that is read here.",
                        fix=f"Give a file that ends in {', '.join(SUFFIXES)}.")  # fmt: skip
    if not content:
        raise DataError(f"{name} is empty.", fix="Export it again.")
    zipped = lower.endswith(".gz") or content.startswith(b"\x1f\x8b")
    try:
        columnar = next((kind for suffix, kind in KINDS.items() if lower.endswith(suffix)), None)
        if columnar is not None:
            table = read_columnar(content, columnar, most_rows=most_rows)
        else:
            plain = gzip.decompress(content) if zipped else content
            table = _without_blank_end(pl.read_csv(io.BytesIO(plain), infer_schema=False))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{name} is a damaged gzip file.", why=f"{error}.",
                        fix="Copy or export it again.") from None  # fmt: skip
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{name} cannot be read as a table.", why=f"{reason}.",
                        fix="Export it again as CSV, Parquet or Arrow.") from None  # fmt: skip
    if not table.height:
        raise DataError(f"{name} holds no rows.", fix="Export it again.")
    return table


def _without_blank_end(table: pl.DataFrame) -> pl.DataFrame:
    """Cut off the rows that empty lines at the end of a file make."""
    filled = table.select(pl.any_horizontal(pl.all().is_not_null())).to_series().arg_true()
    return table.head(int(filled[-1]) + 1 if len(filled) else 0)
