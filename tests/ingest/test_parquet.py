import io
import subprocess
from typing import Any

import polars as pl
import pytest

from crimeguard.domain.errors import DataError
from crimeguard.ingest import parquet
from crimeguard.ingest.source import read_bytes


def written(rows: int = 2) -> bytes:
    out = io.BytesIO()
    pl.DataFrame({"DATE OCC": ["01/02/2023"] * rows, "AREA": ["1"] * rows}).write_parquet(out)
    return out.getvalue()


def test_a_sound_file_is_read() -> None:
    assert parquet.read_parquet(written()).shape == (2, 2)


def test_what_ends_a_reader_does_not_end_this_process() -> None:
    content = written(500)
    # Of these flips some make Polars 2.1 panic, and one makes it ask for exabytes.
    for position in (20, 33, 42):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        try:
            frame = parquet.read_parquet(bytes(damaged))
        except (ValueError, pl.exceptions.PolarsError):
            continue
        assert frame.width == 2


def test_a_reader_that_dies_makes_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_PROBE", "import os; os.abort()")
    with pytest.raises(DataError, match=r"cannot be read as a table. Its pages are damaged"):
        read_bytes(written(), name="x.parquet")


def test_a_reader_that_never_ends_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*args: Any, **options: Any) -> None:
        raise subprocess.TimeoutExpired("probe", options["timeout"])

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(ValueError, match="more than 120 seconds"):
        parquet.read_parquet(written())


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 and nothing more", b"a,b\n1,2\n"])
def test_what_is_not_parquet_is_refused_before_anything_is_read(content: bytes) -> None:
    with pytest.raises(ValueError, match="not Parquet"):
        parquet.read_parquet(content)
