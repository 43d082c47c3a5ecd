from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from crimeguard.ingest.snapshot import Snapshot
from crimeguard.settings import Settings
from tests.cli.world import crimeguard, refused
from tests.ingest.test_snapshot import incidents, write


def test_which_model_saw_which_snapshot_and_the_other_way_round(
    three_versions: Path, use_home: Callable[[Path], Settings]
) -> None:
    home = use_home(three_versions).home
    snapshot = Snapshot.load(next((home / "snapshots").iterdir()))
    idle = write(incidents(), home)
    told = json.loads(crimeguard("data", "log", "--json").out)
    assert [item["version"] for item in told["models"]] == ["3", "2", "1"]
    assert {item["snapshot"]["id"] for item in told["models"]} == {snapshot.id}
    assert [item["id"] for item in told["seen_by_none"]] == [idle.id]
    shown = crimeguard("data", "log")
    assert (shown.code, shown.out) == (0, "")
    for words in (snapshot.id[:8], "Production", f"{idle.id}  2022-12 to 2023-02: no model saw it"):
        assert words in shown.err

    one = json.loads(crimeguard("data", "log", snapshot.id[:6], "--json").out)
    assert one["snapshot"]["content_sha256"] == snapshot.manifest["content_sha256"]
    assert [item["version"] for item in one["models"]] == ["3", "2", "1"]
    assert "no model saw it" in crimeguard("data", "log", idle.id).err
    by_name = crimeguard("data", "log", snapshot.id)
    assert f"sha256  {snapshot.manifest['content_sha256']}" in by_name.err
    refused(crimeguard("data", "log", "zz", "--json"), 1, "begin with 'zz'", snapshot.id)


def test_an_empty_home_stays_without_a_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRIMEGUARD_HOME", str(tmp_path / "home"))
    assert "there is no model yet" in crimeguard("data", "log").err
    assert json.loads(crimeguard("data", "log", "--json").out) == {
        "models": [], "seen_by_none": [],
    }  # fmt: skip
    assert not (tmp_path / "home" / "mlflow").exists()
