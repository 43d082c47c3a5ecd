"""An uploaded file of incidents: unpacked within bounds, read, and refused as a whole."""

from __future__ import annotations

import zlib
from functools import partial
from pathlib import PurePosixPath
from typing import Final

import polars as pl

from crimeguard.domain.errors import DataError
from crimeguard.domain.field import FORBIDDEN_FEATURES
from crimeguard.domain.level import InformationLevel
from crimeguard.features.columns import Columns
from crimeguard.ingest.columnar import TooManyRowsError
from crimeguard.ingest.source import SUFFIXES, read_bytes
from crimeguard.serve.batch import Batch
from crimeguard.serve.problem import BAD_FILE, TOO_LARGE, WRONG_TYPE, Flaw, Problem, pointer

SUFFIX_OF_TYPE: Final = {
    "text/csv": ".csv",
    "application/gzip": ".csv.gz",
    "application/x-gzip": ".csv.gz",
    "application/vnd.apache.parquet": ".parquet",
    "application/vnd.apache.arrow.file": ".arrow",
    "application/vnd.apache.arrow.stream": ".arrows",
}
# A CSV of incidents shrinks to about a fifth; a bomb to a thousandth.
_MOST_UNPACKED: Final = 8
_GZIP: Final = 16 + zlib.MAX_WBITS


def file_name(given: str, kind: str) -> str:
    """Return a name whose ending tells the kind of file: the caller's, or one made up.

    Parameters
    ----------
    given
        The name in the form, '' for a bare body.
    kind
        The content type of the part or body.
    """
    base = PurePosixPath(given.replace("\\", "/")).name
    name = "".join(letter for letter in base if letter.isprintable())[-80:]
    if name.lower().endswith(SUFFIXES):
        return name
    if kind in SUFFIX_OF_TYPE:
        return f"upload{SUFFIX_OF_TYPE[kind]}"
    raise Problem(
        WRONG_TYPE, "The file is of no kind that is read here; its name should end in "
        f"{', '.join(SUFFIXES)}, or its content type be one of {', '.join(SUFFIX_OF_TYPE)}.",
    )  # fmt: skip


def read_upload(
    content: bytes, name: str, *, most_bytes: int, most_rows: int, level: InformationLevel | None
) -> Batch:
    """Read a whole file of incidents; Problem if any value of it cannot be understood."""
    if name.lower().endswith(".gz"):
        content, name = _unpacked(content, most_bytes * _MOST_UNPACKED), name[:-3]
    try:
        reading = read_bytes(content, name=name, most_rows=most_rows)
    except TooManyRowsError as error:
        raise Problem(TOO_LARGE, error.what) from None
    except DataError as error:
        raise _refusal(error) from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        # A value of a type that no export holds, or a file that breaks the reader itself.
        raise _damaged(name) from None
    _refuse_rows(reading.frame.height, most_rows)
    if reading.bad_rows:
        raise Problem(
            BAD_FILE, f"{len(reading.bad_rows):,} of {reading.frame.height:,} rows hold values "
            "that cannot be understood; nothing was predicted.",
            flaws=[Flaw(pointer(bad.row - 1, bad.column),
                        f"{bad.value[:80]!r} {bad.reason}." if bad.value else f"{bad.reason}.",
                        bad.row, bad.column) for bad in reading.bad],
        )  # fmt: skip
    frame = reading.frame
    numbers = frame["dr_no"] if "dr_no" in frame.columns else [None] * frame.height
    unused = tuple(name for name in frame.columns if name in FORBIDDEN_FEATURES)
    return Batch(
        Columns.from_frame(frame, level=level), numbers, (*unused, *reading.ignored),
        texts=partial(_texts, frame),
    )  # fmt: skip


def _texts(frame: pl.DataFrame, start: int, stop: int) -> list[str]:
    """Write rows as they were read, one JSON object each."""
    return frame.slice(start, stop - start).write_ndjson().split("\n")[:-1]


def _unpacked(content: bytes, limit: int) -> bytes:
    """Unpack gzip, several members too; a bomb is refused before it fills the memory."""
    parts: list[bytes] = []
    room = limit
    while content:
        member = zlib.decompressobj(_GZIP)
        try:
            parts.append(member.decompress(content, room + 1))
        except zlib.error:
            raise _damaged("upload.csv.gz") from None
        room -= len(parts[-1])
        if room < 0:
            raise Problem(TOO_LARGE, f"The file unpacks to more than {limit:,} bytes.")
        if not member.eof:
            raise _damaged("upload.csv.gz")
        # Zeros behind the last member are padding, by gzip's own reading.
        content = member.unused_data.lstrip(b"\0")
    return b"".join(parts)


def _refuse_rows(rows: int, most: int) -> None:
    if rows > most:
        raise Problem(TOO_LARGE, TooManyRowsError(rows, most).what)


def _refusal(error: DataError) -> Problem:
    # Behind a reason there may stand a library's own words, which are not for callers.
    ours = error.__context__ is None
    return Problem(BAD_FILE, " ".join(filter(None, (error.what, error.why if ours else ""))))


def _damaged(name: str) -> Problem:
    kind = "gzip" if name.endswith(".gz") else PurePosixPath(name).suffix.lstrip(".").upper()
    return Problem(BAD_FILE, f"The file is damaged or is no {kind} file; export it again.")
