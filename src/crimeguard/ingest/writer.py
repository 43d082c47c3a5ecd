"""Writing a stream of frames to one file: at once or not at all."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import polars as pl
from polars.io.plugins import register_io_source

from crimeguard.domain.errors import CrimeGuardError, UsageError
from crimeguard.domain.field import EXPORT_COLUMNS

# The middle of gzip's scale costs three times the time for a tenth of the size.
_GZIP_LEVEL: Final = 3

Progress = Callable[[int], None]


def write_export(
    frames: Iterable[pl.DataFrame], path: Path, on_progress: Progress | None = None
) -> int:
    """Write frames in the portal's form as CSV, CSV.gz or Parquet, by the path's ending.

    `on_progress` is told the rows of every frame written. Returns the rows in all. An
    error, also one of the frames' maker, leaves what was at `path` as it was. UsageError
    for another ending.
    """
    write = _writer(path)
    done = 0

    def counted() -> Iterator[pl.DataFrame]:
        nonlocal done
        for frame in frames:
            yield frame
            done += frame.height
            if on_progress:
                on_progress(frame.height)

    with replacing(path) as file:
        write(counted(), file)
    return done


def write_text(path: Path, text: str) -> None:
    """Write a text at once or not at all, in a folder that is made if need be."""
    with replacing(path) as file:
        file.write(text.encode())


def _writer(path: Path) -> Callable[[Iterator[pl.DataFrame], IO[bytes]], None]:
    writers = {".csv.gz": _write_gzip, ".csv": _write_csv, ".parquet": _write_parquet}
    for suffix, write in writers.items():
        if path.name.lower().endswith(suffix):
            return write
    raise UsageError(f"{path} is of no kind that is written here.",
                     fix="Choose a name that ends in .csv, .csv.gz or .parquet.")  # fmt: skip


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file beside `path` that takes its place when all went well.

    The folder is made if need be; CrimeGuardError if the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _beside(path) as file:
            yield file
    except OSError as error:
        raise CrimeGuardError(f"{path} cannot be written.", why=f"{error.strerror}.",
                              fix="Choose a folder that can be written to.") from None  # fmt: skip


@contextmanager
def _beside(path: Path) -> Iterator[IO[bytes]]:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        # mkstemp keeps others out; a file of rows is for whoever may read the folder.
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _write_csv(frames: Iterator[pl.DataFrame], file: IO[bytes]) -> None:
    first = True
    for frame in frames:
        frame.write_csv(file, include_header=first)
        first = False


def _write_gzip(frames: Iterator[pl.DataFrame], file: IO[bytes]) -> None:
    with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed:
        for number, frame in enumerate(frames):
            packed.write(frame.write_csv(include_header=number == 0).encode())


def _write_parquet(frames: Iterator[pl.DataFrame], file: IO[bytes]) -> None:
    def source(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, batch: int | None
    ) -> Iterator[pl.DataFrame]:
        del columns, predicate, rows, batch
        return frames

    schema = dict.fromkeys(EXPORT_COLUMNS, pl.String())
    register_io_source(source, schema=schema).sink_parquet(file)
