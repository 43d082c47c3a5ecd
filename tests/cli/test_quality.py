from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest

from crimeguard.cli.options import MOST_BAD, OnBadRows
from crimeguard.ingest.snapshot import Snapshot, write_snapshot
from tests.cli.world import crimeguard, refused
from tests.validate.test_quality import in_march, many

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CRIMEGUARD_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def stored(frame: pl.DataFrame, home: Path) -> Snapshot:
    return write_snapshot(frame, home, source="a test")


def test_good_data_leave_with_nought(home: Path, tmp_path: Path) -> None:
    kept = stored(many(), home)
    told = crimeguard("quality", kept.id[:6], "--html", tmp_path / "quality.html", "--strict")
    assert (told.code, told.out) == (0, "")
    assert f"{kept.id} keeps the data contract" in told.err
    assert "2,400 rows came, 0 repeated, 0 in quarantine" in told.err
    assert "<h1>Data quality</h1>" in (tmp_path / "quality.html").read_text()


@pytest.mark.parametrize(("column", "value", "code", "strict"), [
    ("premis_cd", 777, 0, 1), ("crm_cd", 999, 1, 1),
])  # fmt: skip
def test_the_exit_code_is_the_contracts(
    column: str, value: int, code: int, strict: int, home: Path
) -> None:
    stored(in_march(many(), 0.02, **{column: pl.lit(value)}), home)
    told = crimeguard("quality", "--json")
    assert told.code == code, told.err
    report = json.loads(told.out)
    assert told.err == ""
    assert report["ok"] is (code == 0)
    (found,) = report["findings"]
    assert (found["check"], found["worst_month"]) == (f"{column}_known", "2023-03")
    assert [month["month"] for month in report["months"]] == [
        "2023-01", "2023-02", "2023-03", "2023-04",
    ]  # fmt: skip
    shown = crimeguard("quality", "--strict")
    assert shown.code == strict
    assert f"{column}_known" in shown.err


def test_the_newest_is_meant_when_nothing_is_named(home: Path) -> None:
    stored(many(), home)
    newest = stored(many().filter(pl.col("date_occ").dt.day() > 9), home)
    older = stored(many().filter(pl.col("date_occ").dt.month() < 4), home)
    assert json.loads(crimeguard("quality", "--json").out)["snapshot"] == newest.id
    by_folder = json.loads(crimeguard("quality", older.path, "--json").out)
    assert by_folder["snapshot"] == older.id


def test_what_is_no_snapshot(home: Path) -> None:
    refused(crimeguard("quality"), 1, "There is no snapshot", "crimeguard prepare")
    kept = stored(many(), home)
    refused(crimeguard("quality", "zz"), 1, "begin with 'zz'", kept.id)
    (kept.path / "2023-02.parquet").write_bytes(b"")
    refused(crimeguard("quality", "--json"), 1, "damaged", "2023-02.parquet")


def test_the_commands_of_the_page_are_there_and_do_what_it_says(
    home: Path, exported: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exported.head(600).write_csv("incidents.csv")
    page = (ROOT / "docs" / "quality.md").read_text()
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL))
    lines = re.findall(r"^crimeguard ([^#\n]*)", blocks, re.MULTILINE)
    assert len(lines) >= 6
    for line in lines:
        words = line.split()
        if "SNAPSHOT" in words:
            newest = next((home / "snapshots").iterdir()).name
            words[words.index("SNAPSHOT")] = newest[:8]
        told = crimeguard(*words)
        assert told.code == 0, f"{line}: {told.err}"
    assert Path("quality.html").is_file()
    assert Path("to_correct.csv").is_file()
    told = json.loads(crimeguard("quality", "--json").out)
    keys = re.findall(r"^\| `(\w+)`", page.split("## Quarantine")[0], re.MULTILINE)
    assert len(keys) == 11
    assert set(keys) <= told.keys() | told["months"][0].keys()
    ways = re.findall(r"^\| `(\w+)`", page.split("## Quarantine")[1], re.MULTILINE)
    assert ways == list(OnBadRows)
    assert f"More than {MOST_BAD:.0%} bad rows".replace("%", " %") in page
