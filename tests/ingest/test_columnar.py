from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from crimeguard.domain.errors import CrimeGuardError, DataError
from crimeguard.ingest import columnar
from crimeguard.ingest.columnar import (
    ARROW_FILE,
    ARROW_STREAM,
    PARQUET,
    Kind,
    TooManyRowsError,
    read_columnar,
)
from crimeguard.ingest.source import read_bytes

FORMS = {".parquet": PARQUET, ".arrow": ARROW_FILE, ".arrows": ARROW_STREAM}


def written(kind: Kind, rows: int = 2) -> bytes:
    out = io.BytesIO()
    table = pl.DataFrame({"DATE OCC": ["01/02/2023"] * rows, "AREA": ["1"] * rows})
    write: dict[str, Callable[[io.BytesIO], object]] = {
        "Parquet": table.write_parquet, "an Arrow file": table.write_ipc,
        "an Arrow stream": table.write_ipc_stream,
    }  # fmt: skip
    write[kind.name](out)
    return out.getvalue()


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Iterator[columnar._Probe]:
    """A child of this test's own."""
    own = columnar._Probe()
    monkeypatch.setattr(columnar, "_probe", own)
    yield own
    own.close()


def program(folder: Path, lines: str) -> Path:
    path = folder / "program.py"
    path.write_text("import os, sys, time\nsys.stdout.buffer.write(b'+')\n"
                    "sys.stdout.buffer.flush()\n" + lines)  # fmt: skip
    return path


@pytest.mark.parametrize("kind", FORMS.values())
def test_a_sound_file_is_read(kind: Kind) -> None:
    assert read_columnar(written(kind), kind).shape == (2, 2)


@pytest.mark.parametrize("suffix", FORMS)
def test_the_ending_of_a_name_tells_the_kind(suffix: str) -> None:
    reading = read_bytes(written(FORMS[suffix]), name=f"x{suffix}")
    assert reading.frame["area"].to_list() == [1, 1]


def test_more_rows_than_wanted_are_told_before_they_are_unpacked() -> None:
    for kind in FORMS.values():
        assert read_columnar(written(kind, 9), kind, most_rows=9).height == 9
        with pytest.raises(TooManyRowsError, match="holds 9 rows, 8 are") as caught:
            read_columnar(written(kind, 9), kind, most_rows=8)
        assert caught.value.rows == 9


@pytest.mark.parametrize("kind", FORMS.values())
def test_what_ends_a_reader_does_not_end_this_process(kind: Kind) -> None:
    content = written(kind, 200)
    # Among flips like these some make Polars 2.1 panic, and some make it ask for exabytes.
    refused = 0
    for position in range(9, len(content) - 9, len(content) // 25):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        try:
            frame = read_columnar(bytes(damaged), kind)
        except (ValueError, pl.exceptions.PolarsError):
            refused += 1
        else:
            assert frame.width <= 2
    assert refused
    assert read_columnar(content, kind).height == 200


def test_one_child_reads_several_files(probe: columnar._Probe) -> None:
    for kind in FORMS.values():
        read_columnar(written(kind), kind)
        child = probe._child
        assert child is not None
        read_columnar(written(kind), kind)
        assert probe._child is child


def test_a_child_that_has_ended_is_replaced(probe: columnar._Probe) -> None:
    read_columnar(written(PARQUET), PARQUET)
    assert probe._child is not None
    os.kill(probe._child.pid, signal.SIGKILL)
    probe._child.wait(10)
    assert read_columnar(written(PARQUET), PARQUET).height == 2


def test_after_much_its_memory_is_given_back(
    probe: columnar._Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columnar, "_MUCH", 10)
    assert read_columnar(written(PARQUET), PARQUET).height == 2
    assert probe._child is None


@pytest.mark.usefixtures("probe")
def test_a_reader_that_dies_makes_a_clear_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(columnar, "_PROGRAM", program(tmp_path, "os.abort()"))
    with pytest.raises(DataError, match=r"cannot be read as a table. Its pages are damaged"):
        read_bytes(written(PARQUET), name="x.parquet")


@pytest.mark.usefixtures("probe")
def test_a_reader_that_never_ends_is_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(columnar, "_PROGRAM", program(tmp_path, "time.sleep(60)"))
    monkeypatch.setattr(columnar, "_PATIENCE", 0.2)
    with pytest.raises(ValueError, match=r"more than 0.2 seconds"):
        read_columnar(written(PARQUET), PARQUET)


@pytest.mark.usefixtures("probe")
def test_a_reader_that_cannot_start_is_not_the_files_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(columnar, "_PROGRAM", tmp_path / "nowhere.py")
    with pytest.raises(CrimeGuardError, match="does not start") as caught:
        read_columnar(written(PARQUET), PARQUET)
    assert not isinstance(caught.value, DataError)


@pytest.mark.usefixtures("probe")
def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columnar, "_MEMORY", 400_000_000)
    out = io.BytesIO()
    column = pl.select(pl.int_range(60_000_000, dtype=pl.Int64).alias("a") // 1_000)
    column.write_parquet(out, compression="zstd", statistics=False)
    assert len(out.getvalue()) < 20_000_000
    with pytest.raises(ValueError, match="damaged"):
        read_columnar(out.getvalue(), PARQUET)
    assert read_columnar(written(PARQUET), PARQUET).height == 2


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 and nothing more", b"a,b\n1,2\n"])
@pytest.mark.parametrize("kind", FORMS.values())
def test_what_is_of_another_kind_is_refused_before_anything_is_read(
    content: bytes, kind: Kind
) -> None:
    with pytest.raises(ValueError, match=f"is not {kind.name}"):
        read_columnar(content, kind)


def test_the_child_ends_with_its_input() -> None:
    ended = subprocess.run(
        [sys.executable, "-I", str(columnar._PROGRAM), str(columnar._MEMORY)],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    assert ended.stdout == b"+"
