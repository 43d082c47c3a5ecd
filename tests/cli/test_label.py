from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
import typer

from crimeguard.cli import app as program
from crimeguard.cli.label import label
from crimeguard.records.database import Database, open_database
from crimeguard.records.window import read_window
from crimeguard.settings import Settings
from tests.cli.world import crimeguard, refused
from tests.records.rows import entries, write


@pytest.fixture(autouse=True)
def verbs(monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback()(lambda: None)
    app.command(help=program.help_text(label))(label)
    monkeypatch.setattr(program, "app", app)


@pytest.fixture
def logged(records_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setenv("CRIMEGUARD_HOME", str(records_settings.home))
    monkeypatch.setenv("CRIMEGUARD_RECORDS_URL", records_settings.records_url)
    return open_database(records_settings)


@pytest.fixture
def export(tmp_path: Path, exported: pl.DataFrame) -> Path:
    path = tmp_path / "export.csv"
    exported.head(30).write_csv(path)
    return path


def test_an_export_labels_what_was_predicted(
    logged: Database, export: Path, exported: pl.DataFrame
) -> None:
    write(logged, entries(5, dr_no=exported["DR_NO"].head(5).to_list()))
    done = crimeguard("label", "--file", export)
    assert done.code == 0, done.err
    assert "5 of 30 rows are of logged predictions, 25 are not in the log" in done.err
    assert "5 labels stored, 0 known already" in done.err
    assert done.out == ""
    assert read_window(logged).label_code.to_list() == [
        int(code) for code in exported["Crm Cd"].head(5)
    ]
    told = json.loads(crimeguard("label", "--file", export, "--json").out)
    assert told == {"rows": 30, "left_out": 0, "matched": 5, "unmatched": 25, "accepted": 0,
                    "unchanged": 5}  # fmt: skip
    logged.close()


def test_no_match_at_all_is_an_error(logged: Database, export: Path) -> None:
    write(logged, entries(2, dr_no=["1", None]))
    refused(crimeguard("label", "--file", export), 1, "None of the 30 rows", "DR_NO")
    logged.close()


def test_rows_that_cannot_be_read_are_an_error_or_left_out(
    logged: Database, tmp_path: Path
) -> None:
    (known,) = write(logged, entries())
    path = tmp_path / "labels.csv"
    path.write_text(f"prediction_id,category\n{known},theft\n{known},crime\n")
    refused(crimeguard("label", "--file", path), 1, "row 2", "'crime'", "--on-bad drop")
    assert not read_window(logged).labelled.any()
    done = crimeguard("label", "--file", path, "--on-bad", "drop")
    assert done.code == 0
    assert "1 rows could not be read" in done.err
    assert read_window(logged).labelled.all()
    logged.close()


def test_a_file_is_needed(logged: Database, tmp_path: Path) -> None:
    refused(crimeguard("label", "--file", tmp_path / "none.csv"), 1, "There is no file")
    assert crimeguard("label").code == 2
    assert "crimeguard label --file" in crimeguard("label", "--help").out
    logged.close()
