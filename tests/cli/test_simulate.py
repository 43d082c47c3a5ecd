from __future__ import annotations

import json
from pathlib import Path

import typer
from typer.testing import CliRunner

from crimeguard.cli.profile import profile
from crimeguard.cli.simulate import simulate
from crimeguard.domain.errors import UsageError
from crimeguard.ingest.source import read_file

app = typer.Typer(rich_markup_mode=None)
app.command()(simulate)
app.command()(profile)
runner = CliRunner()


def test_rows_a_profile_of_them_and_rows_of_that(tmp_path: Path) -> None:
    rows, fitted, more = (tmp_path / name for name in ("a.csv.gz", "p.json.gz", "b.parquet"))
    made = runner.invoke(app, ["simulate", "--rows", "3000", "--out", str(rows), "--json"])
    assert json.loads(made.stdout)["rows"] == 3000
    told = runner.invoke(app, ["profile", str(rows), "--out", str(fitted), "--json"])
    assert json.loads(told.stdout)["smallest_count"] >= 5
    options = ["--rows", "200", "--profile", str(fitted), "--drift", "missing_field:1"]
    done = runner.invoke(app, ["simulate", "--out", str(more), *options])
    assert done.exit_code == 0
    assert read_file(more).require_clean("b").height == 200


def test_a_wrong_date_is_a_usage_error(tmp_path: Path) -> None:
    out = tmp_path / "a.csv"
    result = runner.invoke(app, ["simulate", "--out", str(out), "--from", "soon"])
    assert result.exit_code == 2
    assert not out.exists()


def test_an_unknown_drift_is_a_usage_error(tmp_path: Path) -> None:
    result = runner.invoke(app, ["simulate", "--out", str(tmp_path / "a.csv"), "--drift", "x"])
    assert isinstance(result.exception, UsageError)
