"""The verb; how stages run is tested in tests/delivery/test_run.py."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crimeguard.delivery.stages import FLAG, STAGES
from tests.cli.world import Done, crimeguard, refused

MAKEFILE = """\
.venv/.dev .venv/.deepchecks login pull deploy:
\t@echo "$@ $(OVERLAY)" >> said
test:
\t@echo "test $(PYTEST_ARGS)" >> said
monitor:
\t@mkdir -p monitoring && echo "monitor $(MONITOR_ARGS)" >> said
\t@$(DRIFT) monitoring/drift_detected
retrain:
\t@echo "$@" >> said
image-%:
\t@echo "$@" >> said
push-%:
\t@echo "$@" >> said
.PHONY: .venv/.dev .venv/.deepchecks login pull test monitor retrain deploy
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose Makefile only writes down what it was asked for."""
    (tmp_path / "Makefile").write_text(MAKEFILE)
    monkeypatch.chdir(tmp_path)
    for name in ("OVERLAY", "REGISTRY", "PYTEST_ARGS", "MONITOR_ARGS", "MAKEFLAGS", "MAKELEVEL",
                 "CRIMEGUARD_ALERT_WEBHOOK"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DRIFT", "rm -f")
    return tmp_path


def said(folder: Path) -> list[str]:
    return [line.strip() for line in (folder / "said").read_text().splitlines()]


def results(done: Done) -> dict[str, str]:
    return {stage["stage"]: stage["result"] for stage in json.loads(done.out)["stages"]}


def test_it_runs_what_jenkins_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFT", "touch")
    monkeypatch.setenv("OVERLAY", "production")
    monkeypatch.setenv("PYTEST_ARGS", "-k quick")
    done = crimeguard("pipeline")
    assert (done.code, done.out) == (0, ""), done.err
    ran = said(folder)
    assert ran[:6] == [".venv/.dev production", ".venv/.deepchecks production", "login production",
                       "pull production", "test -k quick --junitxml=reports/junit.xml",
                       "monitor"]  # fmt: skip
    assert ran[6] == "retrain"
    assert sorted(ran[7:13]) == sorted(
        f"{do}-{name}" for name in ("backend", "frontend", "trainer") for do in ("image", "push")
    )
    assert ran[13:] == ["deploy production"]
    assert not (folder / FLAG).exists()
    assert "stage 7 of 7: Kubernetes deploy" in done.err
    for stage in STAGES:
        assert f"{stage.title}: ok" in done.err
    assert "no notice: no channel is set up" in done.err


def test_without_the_flag_there_is_no_retraining(folder: Path) -> None:
    done = crimeguard("pipeline", "--from", "monitor", "--to", "retrain", "--json")
    assert done.code == 0, done.err
    assert results(done) == {"monitor": "ok", "retrain": "skipped"}
    assert said(folder) == ["monitor"]


def test_a_stage_that_fails_ends_it_with_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIFT", "touch monitoring/drift_detected && false")
    done = crimeguard("pipeline", "--from", "monitor", "--json")
    assert done.code == 1
    assert json.loads(done.out)["result"] == "failed"
    assert results(done) == {"monitor": "failed", "retrain": "not run", "images": "not run",
                             "deploy": "not run"}  # fmt: skip
    assert not (folder / FLAG).exists()
    done = crimeguard("pipeline", "--from", "monitor")
    assert "Monitoring: failed (make monitor" in done.err


def test_the_notice_names_the_stage_that_failed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, str]] = []
    monkeypatch.setattr("crimeguard.cli.notice.send", lambda *given: sent.append(given))
    crimeguard("pipeline", "--from", "monitor", "--to", "retrain")
    monkeypatch.setenv("DRIFT", "false")
    crimeguard("pipeline", "--from", "monitor", "--to", "retrain")
    assert sent == [
        ("success", "crimeguard pipeline"),
        ("failure", "crimeguard pipeline, Monitoring"),
    ]


def test_a_dry_run_runs_nothing(folder: Path) -> None:
    done = crimeguard("pipeline", "--dry-run")
    assert done.code == 0
    assert 'make deploy OVERLAY="$OVERLAY"' in done.err
    assert "if monitoring/drift_detected exists" in done.err
    assert "Backend: make image-backend push-backend" in done.err
    plan = json.loads(crimeguard("pipeline", "--to", "data", "--dry-run", "--json").out)
    assert [entry["stage"] for entry in plan] == ["initialize", "data"]
    assert plan[1]["work"] == {"": ["make pull"]}
    assert [path.name for path in folder.iterdir()] == ["Makefile"]


def test_a_wrong_call_is_a_usage_error(folder: Path) -> None:
    refused(crimeguard("pipeline", "--from", "lunch"), 2, "no stage 'lunch'", "initialize")
    refused(crimeguard("pipeline", "--from", "deploy", "--to", "data"), 2, "comes after")
    (folder / "Makefile").unlink()
    refused(crimeguard("pipeline"), 2, "no Makefile here")


def test_sigterm_ends_what_runs_and_removes_the_flag(folder: Path) -> None:
    environ = {**os.environ, "DRIFT": "touch monitoring/drift_detected; sleep 60; touch"}
    process = subprocess.Popen(
        [sys.executable, "-m", "crimeguard", "pipeline", "--from", "monitor"], cwd=folder,
        env=environ, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    flag = folder / FLAG
    while not flag.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, words = process.communicate(timeout=30)
    assert process.returncode != 0
    assert not flag.exists()
    assert "Traceback" not in words
