from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI

from crimeguard.domain.errors import RegistryError
from crimeguard.serve.answers import CardAnswer, HealthAnswer, ProblemAnswer
from crimeguard.serve.app import create_app
from crimeguard.serve.follower import Follower
from crimeguard.serve.slot import Slot
from crimeguard.settings import Settings
from tests.serve.fakes import Client, FakePredictor, FakeRegistry


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def follower(tmp_path: Path, registry: FakeRegistry) -> Follower:
    return Follower(
        Slot(), connect=lambda: registry, cache=tmp_path, every=1,
        load=lambda path: FakePredictor(path.name.removeprefix("v")),
    )  # fmt: skip


def health(app: FastAPI) -> HealthAnswer:
    answer = Client(app).get("/health")
    assert answer.status_code == 200
    return HealthAnswer.model_validate_json(answer.text)


def test_a_served_folder_is_healthy(app: FastAPI) -> None:
    found = health(app)
    assert found.status == "ok"
    assert found.registry.state == "fixed"
    assert found.model_info is not None
    assert found.uptime_seconds >= 0


def test_health_follows_the_registry(
    settings: Settings, follower: Follower, registry: FakeRegistry
) -> None:
    slot = follower._slot
    app = create_app(settings, slot, follower)
    assert (health(app).status, health(app).registry.state) == ("starting", "starting")
    registry.version = "4"
    follower.look()
    found = health(app)
    assert (found.status, found.registry.state, found.registry.version) == ("ok", "following", "4")
    registry.failure = RegistryError("words of a client library")
    follower.look()
    found = health(app)
    assert (found.status, found.registry.state) == ("degraded", "unreachable")
    assert found.model_info is not None
    assert "words" not in Client(app).get("/health").text
    app.state.service.close()


def test_the_card_comes_with_the_bundle_it_is_of(client: Client) -> None:
    answer = CardAnswer.model_validate_json(client.get("/model").text)
    assert answer.card == {"summary": "A stand-in for tests."}
    assert answer.model_info.version == "1"


def test_probes_tell_alive_from_ready(settings: Settings, slot: Slot) -> None:
    empty = Slot()
    app = create_app(settings, empty)
    client = Client(app)
    assert client.get("/livez").status_code == 200
    for path in ("/readyz", "/model"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert ProblemAnswer.model_validate_json(answer.text).type == "/docs#problem-no-model"
        assert "Retry-After" in answer.headers
    empty.swap(slot.require())
    assert client.get("/readyz").json() == {"status": "ready"}
    app.state.service.close()


def test_metrics_are_in_prometheus_form(client: Client) -> None:
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "crimeguard_ready 1.0" in answer.text
