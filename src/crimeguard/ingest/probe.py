"""The child process that reads columnar files first; `ingest.columnar` starts it by its path.

It says that it has started, then takes requests on its standard input until that ends or
nothing comes for a minute: one byte for the kind of file, the most rows to read and the
length of the content (eight bytes each, little-endian), then the content. It answers each
with eight bytes: the rows, or -1 for what cannot be read.

It imports nothing of ours, so that it starts as quickly as Polars does.
"""

import io
import resource
import select
import signal
import sys
from typing import Final

import polars as pl

HEAD: Final = 17
READY: Final = b"+"
UNREADABLE: Final = -1
_IDLE: Final = 60.0  # seconds; its memory is worth more than the start of another


def main() -> None:
    """Answer until the input ends. The argument bounds the memory, in bytes."""
    most_memory = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_DATA, (most_memory, most_memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Who presses Ctrl-C means the server, which answers what it has begun.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    answers.write(READY)
    answers.flush()
    while select.select([requests], [], [], _IDLE)[0] and len(head := requests.read(HEAD)) == HEAD:
        most_rows, size = int.from_bytes(head[1:9], "little"), int.from_bytes(head[9:], "little")
        rows = read(head[:1], requests.read(size), most_rows)
        answers.write(rows.to_bytes(8, "little", signed=True))
        answers.flush()


def read(kind: bytes, content: bytes, most_rows: int) -> int:
    """Return the rows; -1 if they cannot be read. More than `most_rows` are not unpacked."""
    source = io.BytesIO(content)
    try:
        if kind == b"s":
            return pl.read_ipc_stream(source).height
        scan, load = (pl.scan_parquet, pl.read_parquet) if kind == b"p" else (
            pl.scan_ipc, pl.read_ipc)  # fmt: skip
        rows: int = scan(io.BytesIO(content)).select(pl.len()).collect().item()
        return rows if rows > most_rows else load(source).height
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError,
            MemoryError, OverflowError):  # fmt: skip
        return UNREADABLE


if __name__ == "__main__":
    main()
