from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from crimeguard import pipeline
from crimeguard.domain.errors import DataError, GateRefusedError, UsageError
from crimeguard.ingest.snapshot import Snapshot, write_snapshot
from crimeguard.pipeline import Trained
from crimeguard.registry.bundle import Bundle
from crimeguard.train.params import Params


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture
def rows(exported: pl.DataFrame, tmp_path: Path) -> Path:
    path = tmp_path / "rows.parquet"
    exported.head(600).write_parquet(path)
    return path


def test_a_file_becomes_a_snapshot_and_the_same_file_the_same(rows: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    told: list[str] = []
    first = pipeline.prepare(rows, home, progress=lambda name, *_: told.append(name))
    assert first.snapshot.rows == 600
    assert first.report is not None
    assert first.report.ok
    assert "validation.html" in {path.name for path in (home / "reports").iterdir()}
    assert told == ["read rows.parquet", "validate rows.parquet", "store rows.parquet"]
    assert pipeline.prepare(rows, home).snapshot.id == first.snapshot.id
    assert len(list((home / "snapshots").iterdir())) == 1


def test_a_snapshot_is_found_by_its_folder_or_one_above(rows: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    made = pipeline.prepare(rows, home).snapshot
    for folder in (made.path, made.path.parent, home):
        opened = pipeline.prepare(folder, tmp_path / "other")
        assert opened.snapshot.id == made.id
        assert opened.report is None
        assert pipeline.labelled(folder).height == 600
    assert not (tmp_path / "other").exists()


def test_two_snapshots_are_one_too_many(
    rows: Path, incidents: pl.DataFrame, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    pipeline.prepare(rows, home)
    write_snapshot(incidents.tail(30), home, source="more")
    with pytest.raises(DataError, match="holds 2 snapshots"):
        pipeline.prepare(home, home)
    with pytest.raises(DataError, match="holds 0 snapshots"):
        pipeline.labelled(rows.parent / "home" / "reports")


def test_a_refused_file_is_not_stored_and_the_reason_is_named(
    exported: pl.DataFrame, tmp_path: Path
) -> None:
    home, path = tmp_path / "home", tmp_path / "rows.csv"
    exported.head(50).drop("Crm Cd").write_csv(path)
    with pytest.raises(DataError) as caught:
        pipeline.prepare(path, home)
    assert "Crm Cd" in caught.value.why
    assert "--on-bad" not in caught.value.fix
    assert tree(home) == {"reports", "reports/validation.html"}
    assert "Crm Cd" in (home / "reports" / "validation.html").read_text()


def test_unreadable_rows_can_be_left_out(exported: pl.DataFrame, tmp_path: Path) -> None:
    home, path = tmp_path / "home", tmp_path / "rows.csv"
    bad = exported.head(600).with_columns(
        pl.when(pl.int_range(pl.len()) == 7)
        .then(pl.lit("25:61"))
        .otherwise(pl.col("TIME OCC"))
        .alias("TIME OCC")
    )
    bad.write_csv(path)
    with pytest.raises(DataError, match="data contract") as caught:
        pipeline.prepare(path, home)
    assert "--on-bad drop" in caught.value.fix
    assert caught.value.bad[0].row == 8
    assert pipeline.prepare(path, home, drop_bad=True).snapshot.rows == 599
    assert pipeline.labelled(path, drop_bad=True).height == 599
    with pytest.raises(DataError, match="1 of 600 rows"):
        pipeline.labelled(path)


def test_training_leaves_a_bundle_and_its_reports(trained: Trained) -> None:
    home = trained.bundle.path.parents[1]
    version = trained.bundle.version
    assert {path.name for path in (home / "bundles").iterdir()} == {version}
    assert {path.name for path in trained.reports.iterdir()} == {
        "training_report.html", "evaluation.json", "card.json", "calibration.png",
        "confusion.png", "importance.png",
    }  # fmt: skip
    verdict = json.loads((trained.reports / "evaluation.json").read_text())
    assert verdict["levels"]["report"]["scores"] == trained.evaluation.best.scores.to_dict()
    assert [check["passed"] for check in verdict["checks"]] == [True] * len(trained.checks)
    assert json.loads((trained.reports / "card.json").read_text()) == trained.bundle.card
    assert Bundle.load(trained.bundle.path).sha256 == trained.bundle.sha256
    assert trained.bundle.card["trained"]["mix_adjusted"] is False


def test_the_split_of_a_training_run_is_by_time(trained: Trained) -> None:
    split = trained.split
    assert (split.train["date_occ"] <= split.train_until).all()
    assert (split.test["date_occ"] > split.train_until).all()
    assert trained.bundle.card["tested"]["rows"] == split.test.height


def test_a_window_without_a_hold_out_is_refused_before_training(
    trained: Trained, tiny_params: Params, tmp_path: Path
) -> None:
    snapshot = Snapshot.load(next((trained.bundle.path.parents[1] / "snapshots").iterdir()))
    for dates in ((dt.date(2023, 2, 28), None), (dt.date(2023, 2, 1), dt.date(2023, 2, 1))):
        with pytest.raises(DataError, match="No incident occurred after"):
            pipeline.train(snapshot, tiny_params, tmp_path, train_until=dates[0],
                           test_until=dates[1])  # fmt: skip
    with pytest.raises(UsageError):
        pipeline.train(snapshot, tiny_params, tmp_path, train_until=dt.date(2023, 2, 1),
                       test_until=dt.date(2023, 1, 1))  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_a_forbidden_feature_is_refused_before_training(
    trained: Trained, tiny_params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = Snapshot.load(next((trained.bundle.path.parents[1] / "snapshots").iterdir()))
    monkeypatch.setattr(pipeline, "INCIDENT_FIELDS", ("area", "crm_cd_1"))
    with pytest.raises(GateRefusedError, match="crm_cd_1"):
        pipeline.train(snapshot, tiny_params, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_summary_is_what_a_script_wants(trained: Trained) -> None:
    told = json.loads(json.dumps(pipeline.summary(trained), allow_nan=False))
    assert told["bundle"] == str(trained.bundle.path)
    assert [check["passed"] for check in told["checks"]] == [True] * len(trained.checks)
    assert told["train_rows"] + told["test_rows"] == 4000
    assert Path(told["report"]).exists()
    assert told["metrics"]["report_accuracy"] == trained.evaluation.best.scores.accuracy


def test_a_run_knows_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert pipeline.git_commit() == "unknown"


def test_a_model_of_a_sample_says_so(
    incidents: pl.DataFrame, tiny_params: Params, tmp_path: Path
) -> None:
    split = replace(tiny_params.split, most_training_rows=1500, most_test_rows=300)
    params = replace(tiny_params, split=split)
    made = pipeline.train(write_snapshot(incidents, tmp_path, source="tests"), params, tmp_path)
    card, window = made.bundle.card, len(made.split.train_days)
    assert card["trained"]["rows"] == 1500 < window
    assert card["trained"]["sample"] == f"1,500 of {window:,}, evenly over time"
    assert card["tested"]["sample"] == f"300 of {made.split.test_rows:,}, evenly over time"
    assert made.evaluation.rows == 300
    told = pipeline.summary(made)
    assert (told["train_rows"], told["train_sample"]) == (1500, card["trained"]["sample"])
    page = (made.reports / "training_report.html").read_text()
    assert f"1,500 of {window:,}, evenly over time" in page
    # What the service watches for is the volume of all incidents.
    assert made.bundle.reference.daily > 1.5 * 1500 / len(set(made.split.train_days))


def test_a_model_of_all_rows_says_so(trained: Trained) -> None:
    assert trained.bundle.card["trained"]["sample"] == "all"
    assert trained.bundle.card["tested"]["sample"] == "all"
    assert "evenly over time" not in (trained.reports / "training_report.html").read_text()
