"""Reading Parquet and Arrow that somebody else wrote, without trusting it.

One flipped bit can make the native reader panic or ask for exabytes, which ends the
process that it runs in. So a child process reads the file first; only what it survives
is read here. The child stays for the next file, for its start takes longer than most files.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from crimeguard.domain.errors import CrimeGuardError, DataError

_PROGRAM: Final = Path(__file__).with_name("probe.py")
_PATIENCE: Final = 120.0  # seconds; a million rows take less than two
# Bytes that reading may take: a million rows of the portal's 28 columns take a tenth of it.
_MEMORY: Final = 8 << 30
# After a file of so many bytes it is ended: not all of its memory would be given back.
_MUCH: Final = 8_000_000
_READY: Final = b"+"  # what it says when it has started
_ANSWER: Final = 8  # bytes of an answer


@dataclass(frozen=True, slots=True)
class Kind:
    """A columnar form: what it calls itself, how its bytes begin and end, what reads it."""

    name: str
    mark: bytes
    begin: bytes
    end: bytes
    load: Callable[[io.BytesIO], pl.DataFrame]


PARQUET: Final = Kind("Parquet", b"p", b"PAR1", b"PAR1", pl.read_parquet)
ARROW_FILE: Final = Kind("an Arrow file", b"f", b"ARROW1", b"ARROW1", pl.read_ipc)
ARROW_STREAM: Final = Kind("an Arrow stream", b"s", b"\xff\xff\xff\xff", b"", pl.read_ipc_stream)
KINDS: Final = {".parquet": PARQUET, ".arrow": ARROW_FILE, ".arrows": ARROW_STREAM}


class TooManyRowsError(DataError):
    """A file with more rows than were asked for; `rows` is what it says of itself."""

    def __init__(self, rows: int, most: int) -> None:
        super().__init__(f"The file holds {rows:,} rows, {most:,} are accepted at once.")
        self.rows = rows


def read_columnar(content: bytes, kind: Kind, *, most_rows: int | None = None) -> pl.DataFrame:
    """Read a whole file; ValueError says why it cannot be read.

    TooManyRowsError if it has more than `most_rows`, before their values are unpacked here.
    """
    if len(content) < len(kind.begin + kind.end) + 4 or not (
        content.startswith(kind.begin) and content.endswith(kind.end)
    ):
        raise ValueError(f"It is not {kind.name}, or its end is missing")
    most = sys.maxsize if most_rows is None else most_rows
    rows = _probe.rows(content, kind, most)
    if rows > most:
        raise TooManyRowsError(rows, most)
    return kind.load(io.BytesIO(content))


class _Probe:
    """The child, started when it is first needed and again when it has ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def rows(self, content: bytes, kind: Kind, most_rows: int) -> int:
        """Return the rows of a file; ValueError if the child cannot read or survive it."""
        with self._lock:
            old = self._child is not None and self._owner == os.getpid()
            rows = self._ask(content, kind, most_rows)
            if rows is None and old:
                rows = self._ask(content, kind, most_rows)  # it may have ended for its own reasons
            if len(content) >= _MUCH:
                self._end()
        if rows is None or rows < 0:
            raise ValueError("Its pages are damaged")
        return rows

    def close(self) -> None:
        """End the child, if there is one."""
        with self._lock:
            self._end()

    def _ask(self, content: bytes, kind: Kind, most_rows: int) -> int | None:
        """Return the child's answer, None if it died of the question."""
        child = self._running()
        head = kind.mark + most_rows.to_bytes(8, "little") + len(content).to_bytes(8, "little")
        end = time.monotonic() + _PATIENCE
        stopper = threading.Timer(_PATIENCE, child.kill)
        stopper.start()
        try:
            answer = _exchange(child, head, content)
        finally:
            stopper.cancel()
        if len(answer) == _ANSWER:
            return int.from_bytes(answer, "little", signed=True)
        self._end()
        if time.monotonic() >= end:
            raise ValueError(f"Reading it takes more than {_PATIENCE:g} seconds")
        return None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._owner != os.getpid():
            self._child = None  # what a fork has of its parent's child is of no use to it
        if self._child is None:
            # The program is ours and fixed; the content goes in as data.
            self._child = subprocess.Popen(  # noqa: S603
                [sys.executable, "-I", str(_PROGRAM), str(_MEMORY)], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            self._owner = os.getpid()
            if _read(self._child, len(_READY)) != _READY:
                self._end()
                raise CrimeGuardError(
                    "The program that reads Parquet and Arrow first does not start.",
                    why="Nothing was read.", fix="Look for what this system lacks: memory, "
                    "processes, or a part of the installation.",
                )  # fmt: skip
        return self._child

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None or self._owner != os.getpid():
            return
        child.kill()
        child.wait()
        for pipe in filter(None, (child.stdin, child.stdout)):
            with contextlib.suppress(BrokenPipeError):  # what it never read
                pipe.close()


def _exchange(child: subprocess.Popen[bytes], head: bytes, content: bytes) -> bytes:
    assert child.stdin is not None  # noqa: S101 -- it is a pipe
    try:
        for part in (head, content):
            child.stdin.write(part)
        child.stdin.flush()
    except BrokenPipeError:
        return b""
    return _read(child, _ANSWER)


def _read(child: subprocess.Popen[bytes], size: int) -> bytes:
    assert child.stdout is not None  # noqa: S101 -- it is a pipe
    return child.stdout.read(size)


_probe: Final = _Probe()
atexit.register(_probe.close)
