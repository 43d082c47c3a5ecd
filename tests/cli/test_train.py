from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from crimeguard.registry.bundle import Bundle
from crimeguard.registry.store import PRODUCTION, STAGING, Registry
from crimeguard.settings import Settings
from tests.cli.world import contents, crimeguard, refused
from tests.conftest import TINY


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CRIMEGUARD_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def params(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path


@pytest.fixture
def rows(exported: pl.DataFrame, tmp_path: Path) -> Path:
    path = tmp_path / "rows.parquet"
    exported.write_parquet(path)
    return path


def ledger() -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = json.loads(crimeguard("history", "--json").out)
    return lines


def registry(home: Path) -> Registry:
    return Registry(Settings(home=home).tracking_uri)


@pytest.mark.slow
def test_as_a_user_runs_it(rows: Path, params: Path, tmp_path: Path, state: Path) -> None:
    params.rename(tmp_path / "params.yaml")
    done = subprocess.run(
        [sys.executable, "-m", "crimeguard", "train", "--data", rows, "--train-until",
         "2023-02-10", "--test-until", "2023-02-20", "--json"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    told = json.loads(done.stdout)
    frame = pl.read_parquet(rows)
    day = frame["DATE OCC"].str.slice(0, 10).str.to_date("%m/%d/%Y")
    until, last = pl.date(2023, 2, 10), pl.date(2023, 2, 20)
    assert told["train_rows"] == frame.filter(day <= until).height
    assert told["test_rows"] == frame.filter((day > until) & (day <= last)).height
    assert (told["train_until"], told["test_until"]) == ("2023-02-10", "2023-02-20")
    assert (told["passed"], told["stage"], told["version"]) == (True, "production", "1")
    bundle = Bundle.load(Path(told["bundle"]))
    assert bundle.sha256 == told["sha256"]
    assert bundle.card["params"]["xgboost"]["rounds"] == TINY["xgboost"]["rounds"]  # type: ignore[index]
    assert bundle.card["data"]["snapshot"] == told["snapshot"]
    kept = registry(state)
    assert kept.version_of(PRODUCTION) == "1"
    assert kept.version_of(STAGING) is None
    assert kept.versions()[0].sha256 == told["sha256"]
    assert kept.versions()[0].metrics["report_accuracy"] == told["metrics"]["report_accuracy"]
    from mlflow import MlflowClient

    client = MlflowClient(kept.uri)
    run = client.get_run(kept.versions()[0].run_id)
    assert run.data.tags["snapshot"] == told["snapshot"]
    assert run.data.tags["train_until"] == "2023-02-10"
    assert len(run.data.tags["git_commit"]) >= 7
    kinds = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert {"training_report.html", "evaluation.json", "confusion.png", "gates.html"} <= kinds
    first, second = ledger()
    assert (first["kind"], second["kind"]) == ("gates", "promotion")
    assert first["subject"] == second["subject"] == told["sha256"]
    assert first["evidence"]["gates"] == told["gates"]["gates"]
    assert second["evidence"]["version"] == "1"
    assert {line["why"] for line in (first, second)} == {"trained on rows.parquet"}


def test_people_are_told_the_scores(rows: Path, params: Path, home: Callable[[], Settings]) -> None:
    settings = home()
    told = crimeguard("train", "--data", rows, "--params", params)
    assert told.code == 0
    assert told.out == ""
    assert "4,000 incidents in snapshot" in told.err
    for word in (
        "call",
        "victim",
        "report",
        "accuracy",
        "coverage",
        "version 2 is in production",
        "champion    pass",
    ):
        assert word in told.err
    assert "\u2026" not in told.err
    assert "Warning" not in told.err
    assert registry(settings.home).versions()[1].stage == "Archived"
    assert ledger()[-1]["evidence"]["replaced_version"] == "1"


def test_a_model_that_a_gate_refuses_stays_in_staging(
    rows: Path, params: Path, home: Callable[[], Settings]
) -> None:
    settings = home()
    checks = TINY["checks"] | {"min_macro_auc": 0.9999}  # type: ignore[operator]
    params.write_text(yaml.safe_dump({**TINY, "checks": checks}))
    told = crimeguard("train", "--data", rows, "--params", params, "--json")
    assert told.code == 3
    outcome = json.loads(told.out)
    assert (outcome["passed"], outcome["stage"]) == (False, "staging")
    assert outcome["gates"]["refused"] == ["floor"]
    refusing = next(gate for gate in outcome["gates"]["gates"] if gate["gate"] == "floor")
    assert [check["name"] for check in refusing["checks"] if not check["passed"]] == [
        "macro ROC-AUC at report"
    ]
    kept = registry(settings.home)
    assert kept.version_of(PRODUCTION) == "1"
    assert kept.version_of(STAGING) == outcome["version"] == "2"
    assert [line["kind"] for line in ledger()] == ["promotion", "gates"]
    assert ledger()[-1]["evidence"]["passed"] is False


Make = Callable[[pl.DataFrame], pl.DataFrame]
BAD_ROWS: dict[str, tuple[Make, str]] = {
    "no label": (lambda rows: rows.drop("Crm Cd"), "Crm Cd"),
    "no number": (lambda rows: rows.drop("DR_NO"), "DR_NO"),
    "unknown crime code": (
        lambda rows: rows.with_columns(
            pl.when(pl.int_range(pl.len()) == 3).then(pl.lit("999"))
            .otherwise(pl.col("Crm Cd")).alias("Crm Cd")
        ),
        "crm_cd_known",
    ),
    "label missing": (
        lambda rows: rows.with_columns(
            pl.when(pl.int_range(pl.len()) == 3).then(pl.lit("NaN"))
            .otherwise(pl.col("Crm Cd")).alias("Crm Cd")
        ),
        "crm_cd_present",
    ),
    "no date": (
        lambda rows: rows.with_columns(
            pl.when(pl.int_range(pl.len()) == 3).then(pl.lit("NaN"))
            .otherwise(pl.col("DATE OCC")).alias("DATE OCC")
        ),
        "when did it happen",
    ),
    "unknown area": (lambda rows: rows.with_columns(AREA=pl.lit("77")), "area_known"),
    "other columns": (lambda rows: rows.select(a="DR_NO", b="Crm Cd"), "does not hold incidents"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_rows_are_refused_and_nothing_is_stored(
    case: str, exported: pl.DataFrame, params: Path, tmp_path: Path, state: Path
) -> None:
    make, words = BAD_ROWS[case]
    path = tmp_path / "bad.parquet"
    make(exported.head(700)).write_parquet(path)
    told = crimeguard("train", "--data", path, "--params", params)
    refused(told, 1, words)
    assert contents(state).keys() <= {"reports/validation.html"}


def kind_of_one(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.lit("510").alias("Crm Cd"))


def first_days(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("DATE OCC").str.slice(0, 5).is_in(["01/02", "01/03", "01/04"]))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (kind_of_one, "nothing to tell apart"),
        (first_days, "too few days"),
        (lambda rows: rows.gather_every(300), "too few"),
    ],
)
def test_rows_that_nothing_can_be_learnt_from(
    make: Make, words: str, exported: pl.DataFrame, params: Path, tmp_path: Path, state: Path
) -> None:
    path = tmp_path / "rows.parquet"
    make(exported).write_parquet(path)
    refused(crimeguard("train", "--data", path, "--params", params, "--json"), 1, words)
    kept = contents(state)
    assert all(name.startswith(("snapshots/", "reports/validation.html")) for name in kept)
    assert not list(state.rglob(".*"))


def write(name: str, content: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


BAD_FILES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "none": (lambda folder: folder / "none.csv", "There is no file"),
    "empty": (write("x.csv", b""), "is empty"),
    "heading only": (write("x.csv", b"DATE OCC,AREA\n"), "no rows"),
    "short gzip": (
        write("x.csv.gz", gzip.compress(b"DATE OCC,AREA\n" * 900, mtime=0)[:-9]),
        "damaged gzip",
    ),
    "kind": (write("x.txt", b"hello"), "of no kind"),
    "no snapshot": (lambda folder: folder, "holds 0 snapshots"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_leaves_everything_as_it_was(case: str, tmp_path: Path, state: Path) -> None:
    make, words = BAD_FILES[case]
    path = make(tmp_path)
    before = contents(tmp_path)
    refused(crimeguard("train", "--data", path, "--json"), 1, words)
    assert contents(tmp_path) == before
    assert not state.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--data"),
        (["--data", "rows.parquet", "--train-until", "soon"], "not a date"),
        (["--data", "rows.parquet", "--test-until", "2023-13-01"], "not a date"),
        (["--data", "rows.parquet", "--params", "none.yaml"], "no parameter file"),
        (["--data", "rows.parquet", "--on-bad", "guess"], "on-bad"),
        (["--data", "rows.parquet", "--train-until", "2023-02-10", "--test-until", "2023-01-01"],
         "before training ends"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("rows")
def test_a_wrong_call_is_a_usage_error(words: list[str], said: str, state: Path) -> None:
    refused(crimeguard("train", *words), 2, said)
    assert not (state / "bundles").exists()


def test_dates_beyond_the_data(rows: Path, params: Path, state: Path) -> None:
    words: list[Any] = ["train", "--data", rows, "--params", params, "--train-until"]
    refused(crimeguard(*words, "2023-12-31"), 2, "before training ends")
    refused(crimeguard(*words, "2023-02-28"), 1, "No incident occurred after 2023-02-28")
    refused(crimeguard(*words, "2020-01-01"), 1, "No incident to train on")
    assert not (state / "bundles").exists()


def test_rows_without_times_can_be_trained_on(
    exported: pl.DataFrame, params: Path, tmp_path: Path, home: Callable[[], Settings]
) -> None:
    home()
    path = tmp_path / "rows.parquet"
    exported.drop("TIME OCC").write_parquet(path)
    assert crimeguard("train", "--data", path, "--params", params).code == 0
