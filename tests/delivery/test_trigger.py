"""Drift starts the pipeline: the whole way, to a fake Jenkins, since there is no real one here."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import yaml

from crimeguard.ingest.drift import Drift
from crimeguard.ingest.simulator import simulate
from crimeguard.settings import Settings
from tests.cli.world import crimeguard
from tests.conftest import TINY
from tests.monitor.test_jenkins import TOKEN, USER, FakeJenkins, fake

__all__ = ["fake"]  # the fixture
MARCH = dt.date(2023, 3, 1)
WEEK = dt.timedelta(days=6)


def test_drift_that_holds_starts_the_pipeline_on_a_fake_jenkins_once(
    fake: FakeJenkins,
    home: Callable[[], Settings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home()
    monkeypatch.chdir(tmp_path)
    monitor = {"volume": False, "maturity_days": 0.0}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({**TINY, "monitor": monitor}))
    drift = Drift.parse(f"class_mix_shift:1.0@{MARCH}")
    drifted = pl.concat(simulate(500, seed=9, start=MARCH, end=MARCH + WEEK, drifts=[drift]))
    drifted.write_parquet(tmp_path / "drifted.parquet")
    pl.concat(simulate(500, seed=5, start=MARCH, end=MARCH + WEEK)).write_parquet("calm.parquet")
    monkeypatch.setenv("CRIMEGUARD_JENKINS_URL", fake.url)
    monkeypatch.setenv("CRIMEGUARD_JENKINS_USER", USER)
    monkeypatch.setenv("CRIMEGUARD_JENKINS_TOKEN", TOKEN)

    def look(file: str) -> str:
        told = crimeguard("monitor", "--data", file, "--no-evidently")
        assert told.code == (4 if file.startswith("drifted") else 0), told.err
        assert TOKEN not in told.err
        return told.err

    look("calm.parquet")
    assert fake.asked == []
    assert "alert by jenkins http://127.0.0.1:" in (said := look("drifted.parquet"))
    assert "build 7 has begun" in said
    assert "alert by" not in look("drifted.parquet")
    assert fake.starts == 1
    told = json.loads(crimeguard("history", "--kind", "alert", "--json").out)
    assert [list(line["evidence"]["channels"].values()) for line in told] == [["build 7 has begun"]]
