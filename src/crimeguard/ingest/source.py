"""The `file` source: CSV, CSV.gz, Parquet or Arrow in the portal's 28-column form."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import polars as pl

from crimeguard.domain.errors import DataError
from crimeguard.ingest.columnar import KINDS, read_columnar
from crimeguard.ingest.frame import Reading, canonical
from crimeguard.ingest.parts import read_csv_parts

SUFFIXES: Final = (".csv", ".csv.gz", *KINDS)
_GZIP: Final = b"\x1f\x8b"


def read_file(path: Path) -> Reading:
    """Read and repair one file of incidents; DataError says what is wrong with it."""
    if path.name.lower().endswith(".csv") and not _is_zipped(path):
        return _plain_csv(path)
    return read_bytes(_content(path), name=str(path))


def read_table(path: Path) -> pl.DataFrame:
    """Read one file as it is, whatever its columns; DataError says why it is no table."""
    return _table(_content(path), str(path))


def _plain_csv(path: Path) -> Reading:
    if not path.stat().st_size:
        raise _empty(str(path))
    with _told_as_table(str(path)):
        reading = read_csv_parts(path, source=str(path))
    if reading is None:
        raise _no_rows(str(path))
    return reading


def _is_zipped(path: Path) -> bool:
    with _opened(path) as file:
        return file.read(len(_GZIP)) == _GZIP


def _content(path: Path) -> bytes:
    with _opened(path) as file:
        return file.read()


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if path.is_dir():
        raise DataError(f"{path} is a folder.", fix="Name one file of incidents.")
    try:
        with path.open("rb") as file:
            yield file
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
        raise _empty(name)
    zipped = lower.endswith(".gz") or content.startswith(_GZIP)
    with _told_as_table(name):
        columnar = next((kind for suffix, kind in KINDS.items() if lower.endswith(suffix)), None)
        if columnar is not None:
            table = read_columnar(content, columnar, most_rows=most_rows)
        else:
            plain = gzip.decompress(content) if zipped else content
            table = _without_blank_end(pl.read_csv(io.BytesIO(plain), infer_schema=False))
    if not table.height:
        raise _no_rows(name)
    return table


@contextmanager
def _told_as_table(name: str) -> Iterator[None]:
    """Say what is wrong with a file that cannot be read as a table."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{name} is a damaged gzip file.", why=f"{error}.",
                        fix="Copy or export it again.") from None  # fmt: skip
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{name} cannot be read as a table.", why=f"{reason}.",
                        fix="Export it again as CSV, Parquet or Arrow.") from None  # fmt: skip


def _empty(name: str) -> DataError:
    return DataError(f"{name} is empty.", fix="Export it again.")


def _no_rows(name: str) -> DataError:
    return DataError(f"{name} holds no rows.", fix="Export it again.")


def _without_blank_end(table: pl.DataFrame) -> pl.DataFrame:
    """Cut off the rows that empty lines at the end of a file make."""
    filled = table.select(pl.any_horizontal(pl.all().is_not_null())).to_series().arg_true()
    return table.head(int(filled[-1]) + 1 if len(filled) else 0)
