from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from crimeguard.domain.errors import CrimeGuardError, UsageError
from crimeguard.ingest import simulator
from crimeguard.ingest.simulator import simulate
from crimeguard.ingest.source import read_file
from crimeguard.ingest.writer import write_export, write_text


def broken() -> Iterator[pl.DataFrame]:
    yield from simulate(50, seed=1)
    raise RuntimeError("the maker of the rows fails")


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_every_kind_of_file_holds_the_same_rows(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulator, "CHUNK", 1_000)
    told: list[int] = []
    path = tmp_path / "new folder" / f"rows.{ending}"
    assert write_export(simulate(2_500, seed=1), path, told.append) == 2_500
    assert sum(told) == 2_500
    assert len(told) > 1
    frame = read_file(path).require_clean("the file")
    assert frame.height == 2_500
    assert frame["dr_no"][0] == next(simulate(2_500, seed=1))["DR_NO"][0]
    assert [found.name for found in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_the_same_rows_make_the_same_bytes(ending: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_export(simulate(500, seed=1), tmp_path / f"{name}.{ending}")
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_a_failure_leaves_the_old_file_alone(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"rows.{ending}"
    path.write_text("old")
    with pytest.raises(Exception, match="the maker of the rows fails"):
        write_export(broken(), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_another_ending_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.parquet"):
        write_export(broken(), tmp_path / "rows.xlsx")


def test_a_folder_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CrimeGuardError, match="cannot be written"):
        write_export(simulate(5, seed=1), tmp_path / "file" / "rows.csv")


def test_a_file_is_written_at_once_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a" / "x.txt"
    write_text(path, "one")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\udcff")
    assert path.read_text() == "one"
    assert {str(made.relative_to(tmp_path)) for made in tmp_path.rglob("*")} == {"a", "a/x.txt"}
