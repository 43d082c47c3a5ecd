from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from crimeguard.pipeline import Trained
from crimeguard.registry.bundle import write_bundle
from crimeguard.registry.store import PRODUCTION, STAGING, Registry, Run
from crimeguard.settings import Settings
from tests.cli.world import crimeguard, refused


@pytest.fixture
def registry(home: Callable[[], Settings]) -> Registry:
    settings = home()
    return Registry(settings.tracking_uri, artifacts=settings.home / "mlflow" / "artifacts")


def stage(registry: Registry, trained: Trained, folder: Path, ece: float) -> None:
    card = json.loads(json.dumps(trained.bundle.card))
    card["levels"]["call"]["ece"] = ece
    bundle = write_bundle(trained.bundle.model, folder, card=card, golden=trained.bundle.golden)
    registry.register(bundle, Run({}, {}, {}))


def test_what_is_in_staging_is_promoted(
    registry: Registry, trained: Trained, tmp_path: Path
) -> None:
    stage(registry, trained, tmp_path / "b", 0.001)
    told = crimeguard("promote", "--json")
    assert told.code == 0
    assert json.loads(told.out) == {"version": "2", "stage": "production", "replaced": "1"}
    assert registry.version_of(PRODUCTION) == "2"
    told = crimeguard("promote", "1")
    assert told.code == 0
    assert told.out == ""
    assert "version 1 is in production instead of version 2" in told.err


def test_what_fails_a_check_is_refused(
    registry: Registry, trained: Trained, tmp_path: Path
) -> None:
    stage(registry, trained, tmp_path / "b", 0.9)
    refused(crimeguard("promote", "--json"), 3, "calibration error at call is 0.9")
    refused(crimeguard("promote", "2"), 3, "refused by 1 of 12 checks")
    assert registry.version_of(PRODUCTION) == "1"
    assert registry.version_of(STAGING) == "2"


@pytest.mark.usefixtures("registry")
def test_nothing_to_promote() -> None:
    refused(crimeguard("promote"), 1, "no version in staging")
    refused(crimeguard("promote", "9"), 1, "no version 9")
    refused(crimeguard("promote", "newest"), 1, "error: ")


def test_a_registry_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    told = crimeguard("promote")
    refused(told, 1, "http://127.0.0.1:1", "MLFLOW_TRACKING_URI")
    assert "secret" not in told.err
