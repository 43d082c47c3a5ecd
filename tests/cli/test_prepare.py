from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from crimeguard.ingest.snapshot import Snapshot
from tests.cli.world import contents, crimeguard, refused


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CRIMEGUARD_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def rows(exported: pl.DataFrame, tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv.gz"
    import gzip

    path.write_bytes(gzip.compress(exported.head(700).write_csv().encode()))
    return path


def test_a_file_becomes_a_snapshot(rows: Path, state: Path, tmp_path: Path) -> None:
    told = crimeguard("prepare", rows, "--json")
    assert told.code == 0
    assert told.err == ""
    found = json.loads(told.out)
    assert found == {
        "snapshot": found["snapshot"], "rows": 700,
        "path": str(state / "snapshots" / found["snapshot"]),
    }  # fmt: skip
    assert Snapshot.load(Path(found["path"])).id == found["snapshot"]
    other = crimeguard("prepare", rows, "--out", tmp_path / "data")
    assert other.code == 0
    assert other.out == ""
    assert f"700 incidents in {tmp_path}/data/snapshots/{found['snapshot']}" in other.err


def test_the_same_rows_in_another_order_are_the_same_snapshot(
    rows: Path, exported: pl.DataFrame, tmp_path: Path
) -> None:
    turned = tmp_path / "turned.parquet"
    exported.head(700).reverse().write_parquet(turned)
    one, other = (json.loads(crimeguard("prepare", p, "--json").out) for p in (rows, turned))
    assert one == other


def test_unreadable_rows_are_refused_or_left_out(
    exported: pl.DataFrame, state: Path, tmp_path: Path
) -> None:
    path = tmp_path / "bad.csv"
    exported.head(700).with_columns(
        pl.when(pl.int_range(pl.len()) == 9).then(pl.lit("old"))
        .otherwise(pl.col("Vict Age")).alias("Vict Age")
    ).write_csv(path)  # fmt: skip
    refused(crimeguard("prepare", path, "--json"), 1, "row 10, column 'Vict Age': 'old'")
    assert contents(state).keys() == {"reports/validation.html"}
    told = crimeguard("prepare", path, "--on-bad", "drop", "--json")
    assert json.loads(told.out)["rows"] == 699


def test_a_file_that_is_none(state: Path, tmp_path: Path) -> None:
    refused(crimeguard("prepare", tmp_path / "none.csv"), 1, "There is no file")
    refused(crimeguard("prepare"), 2, "data")
    assert not state.exists()
