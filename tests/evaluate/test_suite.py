from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.errors import GateRefusedError
from crimeguard.evaluate import suite
from crimeguard.evaluate.evaluation import FIELD_GROUPS
from crimeguard.evaluate.gate import Case
from crimeguard.evaluate.suite import (
    SHOWN,
    bounds,
    column_importance,
    common_codes,
    features_of,
    interpreter,
    run_suite,
    write_request,
)
from crimeguard.features.columns import Columns
from crimeguard.settings import Settings


def stand_in(folder: Path, script: str) -> Settings:
    """Return settings that name a shell script as the other Python; $3 is the folder."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return Settings(deepchecks_python=str(path))


def answering(folder: Path, findings: dict[str, Any]) -> Settings:
    found = folder / "found.json"
    found.write_text(json.dumps(findings))
    return stand_in(folder, f'cp {found} "$3/findings.json"; echo page > "$3/page.html"')


GOOD = {
    "train-test degradation": 0.05, "overfitting": 1.5, "gain over a simple tree": 0.7,
    "largest confusion": 0.02, "weakest segment": 0.8, "Brier skill": 0.8,
    "importance shift": 0.01,
}  # fmt: skip


def findings(**changed: Any) -> dict[str, Any]:
    values = {**GOOD, **changed}
    return {"measured": [{"name": n, "value": v} for n, v in values.items()], "failed": []}


def test_what_comes_back_is_held_against_its_bounds(healthy: Case, tmp_path: Path) -> None:
    found = run_suite(replace(healthy, settings=answering(tmp_path, findings())))
    assert found.page == "page\n"
    assert {check.name: check.value for check in found.checks} == GOOD
    assert all(check.passed for check in found.checks)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("train-test degradation", 0.16), ("overfitting", 3.1), ("gain over a simple tree", 0.1),
        ("largest confusion", 0.09), ("weakest segment", 0.4), ("Brier skill", 0.3),
        ("importance shift", 0.3), ("importance shift", None),
    ],
)  # fmt: skip
def test_each_figure_alone_refuses(
    healthy: Case, tmp_path: Path, name: str, value: float | None
) -> None:
    settings = answering(tmp_path, findings(**{name: value}))
    checks = run_suite(replace(healthy, settings=settings)).checks
    assert [check.name for check in checks if not check.passed] == [name]


def test_a_figure_that_did_not_come_back_refuses(healthy: Case, tmp_path: Path) -> None:
    short = {"measured": findings()["measured"][1:], "failed": []}
    checks = run_suite(replace(healthy, settings=answering(tmp_path, short))).checks
    assert [c.name for c in checks if not c.passed] == ["train-test degradation"]


def test_without_a_champion_nothing_is_asked_of_its_importance(
    healthy: Case, tmp_path: Path
) -> None:
    case = replace(healthy, champion=None, settings=answering(tmp_path, findings()))
    assert [check.name for check in run_suite(case).checks] == list(GOOD)[:-1]
    assert "importance shift" in bounds(healthy.params.gates, champion=True)
    write_request(case, tmp_path)
    assert "champion_importance" not in json.loads((tmp_path / "request.json").read_text())


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo first >&2; echo 'ImportError: no deepchecks' >&2; exit 1", "no deepchecks"),
        ("exit 3", "no message"),
    ],
)
def test_a_suite_that_fails_is_refused_in_its_words(
    healthy: Case, tmp_path: Path, script: str, words: str
) -> None:
    case = replace(healthy, settings=stand_in(tmp_path, script))
    with pytest.raises(GateRefusedError, match="Deepchecks failed") as caught:
        run_suite(case)
    assert words in caught.value.why


def test_a_check_that_could_not_run_is_refused(healthy: Case, tmp_path: Path) -> None:
    broken = {**findings(), "failed": [{"check": "Confusion", "why": "out of memory"}]}
    with pytest.raises(GateRefusedError, match="could not run every check") as caught:
        run_suite(replace(healthy, settings=answering(tmp_path, broken)))
    assert caught.value.why == "Confusion: out of memory"


def test_a_suite_that_hangs_is_refused(
    healthy: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, "TIMEOUT", 0.2)
    case = replace(healthy, settings=stand_in(tmp_path, "exec sleep 30"))
    with pytest.raises(GateRefusedError, match="did not finish in"):
        run_suite(case)


def test_a_suite_that_writes_nothing_is_an_error(healthy: Case, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run_suite(replace(healthy, settings=stand_in(tmp_path, "exit 0")))


def test_nothing_of_ours_and_no_network_is_told_to_the_other_side(
    healthy: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRIMEGUARD_SECRET", "s3cret")
    seen = tmp_path / "seen"
    settings = stand_in(tmp_path, f'env > {seen}; echo "$@" >> {seen}; exit 1')
    with pytest.raises(GateRefusedError):
        run_suite(replace(healthy, settings=settings))
    text = seen.read_text()
    assert "s3cret" not in text
    for name in ("ANONYMOUS_TELEMETRY", "ANALYTICS"):
        assert f"DISABLE_DEEPCHECKS_{name}=1" in text
    assert "DISABLE_LATEST_VERSION_CHECK=1" in text
    assert f"-I {suite.SCRIPT}" in text


def test_the_other_python_is_the_one_named_or_the_one_of_make(tmp_path: Path) -> None:
    assert interpreter(stand_in(tmp_path, "")) == tmp_path / "python"
    with pytest.raises(GateRefusedError, match="/nowhere") as caught:
        interpreter(Settings(deepchecks_python="/nowhere/python"))
    assert "make .venv/.deepchecks" in caught.value.fix
    assert "gates.deepchecks: false" in caught.value.fix
    assert interpreter(Settings()) == Path(sys.prefix) / "deepchecks" / "bin" / "python"


def test_the_request_holds_what_was_answered(healthy: Case, tmp_path: Path) -> None:
    write_request(healthy, tmp_path)
    request = json.loads((tmp_path / "request.json").read_text())
    train, test = (pl.read_parquet(tmp_path / f"{name}.parquet") for name in ("train", "test"))
    assert (train.height, test.height) == (suite.TRAIN_ROWS, suite.TEST_ROWS)
    newest = healthy.train.sort("date_occ", maintain_order=True).tail(train.height)
    expected = healthy.challenger.model.probabilities(Columns.from_frame(newest))
    shares = train.select(f"p_{name}" for name in CATEGORIES).to_numpy()
    assert np.array_equal(shares, expected)
    assert request["classes"] == sorted(CATEGORIES)
    assert set(request["features"]) | {"label"} <= set(train.columns)
    assert train.columns == test.columns
    assert set(request["champion_importance"]) == set(request["importance"])
    assert sum(request["column_importance"].values()) == pytest.approx(1)
    assert not set(request["features"]) & {"crm_cd", "dr_no", "status"}


def test_features_are_readable_and_follow_what_is_known(incidents: pl.DataFrame) -> None:
    codes = common_codes(incidents)
    table = features_of(incidents, codes)
    assert len(codes) == suite.MO_CODES
    assert table["hour"].is_between(0, 23).all()
    assert set(table["weekday"]) == {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}
    assert (table["delay"] >= 0).all()
    first = incidents["mocodes"].list.contains(codes[0]).fill_null(value=False)
    assert table[f"mo_{codes[0]:04d}"].sum() == first.sum()
    assert table["weapon"].null_count() == 0
    call = incidents.select("date_occ", "time_occ", "area", "premis_cd")
    assert features_of(call, common_codes(call)).columns == ["hour", "weekday", "area", "premise"]


def test_importance_is_shared_out_among_the_columns_that_show_a_field() -> None:
    assert {*SHOWN, "MO codes"} == set(FIELD_GROUPS)
    worth = {"coordinates": 1.0, "MO codes": 2.0, "weapon": -0.1, "premise": 1.0}
    features = ["lat", "lon", "mo_count", "mo_0344", "weapon", "premise", "hour"]
    assert column_importance(worth, features) == {
        "lat": 0.125, "lon": 0.125, "mo_count": 0.25, "mo_0344": 0.25, "weapon": 0,
        "premise": 0.25, "hour": 0,
    }  # fmt: skip
    with pytest.raises(GateRefusedError, match="do not depend on any field"):
        column_importance({"weapon": -0.1, "premise": 0.0}, features)
