"""An uploaded table, split into parts that the API answers one after the other."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Final

from crimeguard.domain.errors import CrimeGuardError
from crimeguard.domain.field import CANONICAL_NAMES

ROWS_A_PART: Final = 5_000
ENDINGS: Final = (".csv", ".csv.gz", ".parquet")
# One record this long is no record: a quote was opened and never closed.
_LONGEST_RECORD: Final = 100_000


class UploadError(CrimeGuardError):
    """An uploaded file cannot be read as a table."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of an upload as a file of their own.

    `name` tells the API its kind, `first` is the position of its first row in the whole,
    from 0; `records` are its rows by canonical names; `done` is the share of the
    upload that ends with this part.
    """

    name: str
    content: bytes
    first: int
    records: list[dict[str, str]]
    done: float


def parts(name: str, upload: IO[bytes], rows: int = ROWS_A_PART) -> Iterator[Part]:
    """Split a CSV, gzipped CSV or Parquet file; raises UploadError where it breaks."""
    lower = name.lower()
    if not lower.endswith(ENDINGS):
        raise UploadError(f"{name} is of no kind that is read here.",
                          fix=f"Give a file that ends in {', '.join(ENDINGS)}.")  # fmt: skip
    upload.seek(0)
    if lower.endswith(".parquet"):
        yield from _parquet_parts(name, upload, rows)
    else:
        yield from _csv_parts(name, upload, rows)


def _csv_parts(name: str, upload: IO[bytes], rows: int) -> Iterator[Part]:
    size = max(upload.seek(0, io.SEEK_END), 1)
    upload.seek(0)
    plain: Any = gzip.GzipFile(fileobj=upload) if name.lower().endswith(".gz") else upload
    try:
        records = _csv_records(name, plain)
        header = next(records, None)
        if header is None:
            raise UploadError(f"{name} is empty.", fix="Export it again.")
        first, held = 0, []
        for record in records:
            held.append(record)
            if len(held) == rows:
                done = min(upload.tell() / size, 0.99)
                yield _csv_part(name, header, held, first, done)
                first, held = first + rows, []
        if held or not first:
            yield _csv_part(name, header, held, first, 1.0)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise UploadError(f"{name} is a damaged gzip file.",
                          fix="Copy or export it again.") from None  # fmt: skip


def _csv_records(name: str, plain: IO[bytes]) -> Iterator[bytes]:
    """Yield whole records: a line break inside quotes does not end one; skip blank lines."""
    record, number = b"", 0
    for line in plain:
        record += line
        if record.count(b'"') % 2 == 0:
            if record.strip():
                yield record if record.endswith(b"\n") else record + b"\n"
                number += 1
            record = b""
        elif len(record) > _LONGEST_RECORD:
            break
    if record.strip():
        raise UploadError(f"Row {number} of {name} opens a quote and never closes it.",
                          fix="Export the file again.")  # fmt: skip


def _csv_part(name: str, header: bytes, held: list[bytes], first: int, done: float) -> Part:
    content = header + b"".join(held)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UploadError(f"{name} is not written in UTF-8.",
                          fix="Export it again as UTF-8.") from None  # fmt: skip
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        records = [_canonical(row) for row in reader]
    except csv.Error as error:
        raise UploadError(f"{name} cannot be read as CSV near row {first + reader.line_num - 1}.",
                          why=f"{error}.", fix="Export it again.") from None  # fmt: skip
    return Part(re.sub(r"\.gz$", "", name, flags=re.IGNORECASE), content, first, records, done)


def _parquet_parts(name: str, upload: IO[bytes], rows: int) -> Iterator[Part]:
    # Heavy, and only needed for this kind of file.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        source = pq.ParquetFile(upload)
        total = max(source.metadata.num_rows, 1)
        first = 0
        for batch in source.iter_batches(batch_size=rows):
            table = pa.Table.from_batches([batch])
            content = io.BytesIO()
            pq.write_table(table, content)
            records = [_canonical(row) for row in table.to_pylist()]
            done = (first + len(records)) / total
            yield Part(name, content.getvalue(), first, records, done)
            first += len(records)
    except (pa.ArrowException, OSError):
        raise UploadError(f"{name} cannot be read as Parquet.",
                          fix="Export it again.") from None  # fmt: skip


def _canonical(row: dict[Any, Any]) -> dict[str, str]:
    """Name a row's values canonically, as text; columns that nobody knows are left out."""
    return {
        CANONICAL_NAMES[column]: _text(value)
        for column, value in row.items()
        if column in CANONICAL_NAMES
    }


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(_text(item) for item in value)
    return "" if value is None else str(value)
