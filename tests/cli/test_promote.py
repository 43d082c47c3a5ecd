from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from crimeguard.evaluate.gates import GATES
from crimeguard.registry.store import PRODUCTION, STAGING, Registry, open_registry
from crimeguard.settings import Settings
from tests.cli.world import crimeguard, refused
from tests.conftest import TINY


@pytest.fixture
def registry(
    three_versions: Path, use_home: Callable[[Path], Settings], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Registry:  # fmt: skip
    """Version 1 in production, 3 in staging, and the small parameters where we stand."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(TINY))
    return open_registry(use_home(three_versions))


def lines() -> list[dict[str, str]]:
    told: list[dict[str, str]] = json.loads(crimeguard("history", "--json").out)
    return told


def test_what_is_in_staging_is_judged_and_promoted(registry: Registry) -> None:
    told = crimeguard("promote", "--json", "--why", "the second export")
    assert told.code == 0, told.err
    outcome = json.loads(told.out)
    assert {name: outcome[name] for name in ("version", "stage", "replaced")} == {
        "version": "3", "stage": "production", "replaced": "1",
    }  # fmt: skip
    assert outcome["gates"]["passed"] is True
    assert [gate["gate"] for gate in outcome["gates"]["gates"]] == list(GATES)
    assert registry.version_of(PRODUCTION) == "3"
    assert [(line["kind"], line["why"]) for line in lines()] == [
        ("promotion", "the first"), ("gates", "the second export"),
        ("promotion", "the second export"),
    ]  # fmt: skip
    assert all("@" in line["who"] for line in lines()[1:])


def test_a_version_can_be_named_and_people_are_told_of_each_gate(registry: Registry) -> None:
    told = crimeguard("promote", "1")
    assert (told.code, told.out) == (0, "")
    for gate in GATES:
        assert f"\n{gate} " in f"\n{told.err}"
    assert "version 1 is in production" in told.err
    assert "instead" not in told.err


def test_what_a_gate_refuses_stays_where_it_is(registry: Registry, tmp_path: Path) -> None:
    strict = tmp_path / "strict.yaml"
    strict.write_text(yaml.safe_dump({**TINY, "gates": {**TINY["gates"], "max_bytes": 1}}))  # type: ignore[dict-item]
    told = crimeguard("promote", "--params", strict)
    refused(told, 3, f"refused by 1 of {len(GATES)} gates: size", "REFUSE", "bytes of the bundle")
    assert registry.version_of(PRODUCTION) == "1"
    assert registry.version_of(STAGING) == "3"
    assert [line["kind"] for line in lines()] == ["promotion", "gates"]
    told = crimeguard("promote", "--params", strict, "--json")
    refused(told, 3, "size")


@pytest.mark.usefixtures("registry")
def test_nothing_to_promote(home: Callable[[], Settings]) -> None:
    refused(crimeguard("promote", "9"), 1, "no version 9")
    refused(crimeguard("promote", "newest"), 1, "error: ")


def test_nothing_in_staging(home: Callable[[], Settings]) -> None:
    home()
    refused(crimeguard("promote"), 1, "no version in staging")


def test_a_registry_out_of_reach(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CRIMEGUARD_HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hush@127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    told = crimeguard("promote")
    refused(told, 1, "http://127.0.0.1:1", "MLFLOW_TRACKING_URI")
    assert "hush" not in told.err
