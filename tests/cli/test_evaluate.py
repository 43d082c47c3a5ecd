from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from crimeguard.pipeline import Trained
from crimeguard.settings import Settings
from tests.cli.world import contents, crimeguard, refused


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRIMEGUARD_HOME", str(tmp_path / "home"))


@pytest.fixture
def rows(exported: pl.DataFrame, tmp_path: Path) -> Path:
    path = tmp_path / "rows.parquet"
    exported.write_parquet(path)
    return path


def test_the_hold_out_gets_the_scores_of_the_training_run(
    rows: Path, trained: Trained, tiny_bundle: Path
) -> None:
    since = trained.evaluation.first.isoformat()
    told = crimeguard("evaluate", "--data", rows, "--bundle", tiny_bundle, "--since", since,
                      "--json")  # fmt: skip
    assert told.code == 0
    assert told.err == ""
    found = json.loads(told.out)
    assert found["bundle"] == trained.bundle.sha256
    assert found["rows"] == trained.evaluation.rows
    # Rows come in another order, so sums are rounded otherwise.
    for label, item in trained.evaluation.levels.items():
        assert found["levels"][label]["scores"] == pytest.approx(item.scores.to_dict())
        assert found["levels"][label]["confusion"] == item.confusion
    assert [check["name"] for check in found["checks"]] == [check.name for check in trained.checks]


def test_days_are_included(rows: Path, tiny_bundle: Path) -> None:
    told = crimeguard("evaluate", "--data", rows, "--bundle", tiny_bundle, "--since", "2023-02-20",
                      "--until", "2023-02-21", "--json")  # fmt: skip
    found = json.loads(told.out)
    assert (found["first"], found["last"]) == ("2023-02-20", "2023-02-21")


def test_people_see_a_table_and_are_warned_of_what_was_seen(
    rows: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    page = tmp_path / "reports" / "page.html"
    told = crimeguard("evaluate", "--data", rows, "--bundle", tiny_bundle, "--out", page)
    assert told.code == 0
    assert told.out == ""
    assert "4,000 incidents" in told.err
    assert "flatter" in told.err
    assert "rows.parquet" in page.read_text()
    fresh = crimeguard("evaluate", "--data", rows, "--bundle", tiny_bundle, "--since", "2023-02-25")
    assert "flatter" not in fresh.err


def test_without_a_bundle_the_one_in_production_is_scored(
    rows: Path, home: Callable[[], Settings], trained: Trained
) -> None:
    home()
    told = crimeguard("evaluate", "--data", rows, "--json")
    assert json.loads(told.out)["bundle"] == trained.bundle.sha256


def test_what_is_not_defined_is_null(
    exported: pl.DataFrame, tiny_bundle: Path, tmp_path: Path
) -> None:
    path, page = tmp_path / "one.csv", tmp_path / "page.html"
    exported.head(100).with_columns(pl.lit("510").alias("Crm Cd")).write_csv(path)
    told = crimeguard("evaluate", "--data", path, "--bundle", tiny_bundle, "--json", "--out", page)
    assert told.code == 0
    found = json.loads(told.out)
    assert found["levels"]["report"]["scores"]["macro_roc_auc"] is None
    failed = {check["name"] for check in found["checks"] if not check["passed"]}
    assert "macro ROC-AUC at report" in failed
    assert page.exists()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda rows: rows.drop("Crm Cd"), "no crime codes"),
        (lambda rows: rows.with_columns(pl.lit("999").alias("Crm Cd")), "no table knows"),
        (lambda rows: rows.with_columns(pl.lit("").alias("Crm Cd")), "no table knows"),
        (lambda rows: rows.with_columns(pl.lit("x").alias("Crm Cd")), "'x' is not a code"),
    ],
)
def test_rows_that_cannot_be_scored(
    make: Callable[[pl.DataFrame], pl.DataFrame], words: str,
    exported: pl.DataFrame, tiny_bundle: Path, tmp_path: Path,
) -> None:  # fmt: skip
    path, page = tmp_path / "rows.csv", tmp_path / "page.html"
    make(exported.head(50)).write_csv(path)
    before = contents(tmp_path)
    told = crimeguard("evaluate", "--data", path, "--bundle", tiny_bundle, "--json", "--out", page)
    refused(told, 1, words)
    assert contents(tmp_path) == before


def test_dates_without_incidents(rows: Path, tiny_bundle: Path) -> None:
    words = ("evaluate", "--data", rows, "--bundle", tiny_bundle)
    refused(crimeguard(*words, "--since", "2030-01-01"), 1, "no incident to score")
    refused(crimeguard(*words, "--since", "soon"), 2, "not a date")
