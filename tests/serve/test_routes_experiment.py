from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import jsonschema  # type: ignore[import-untyped]
import pytest
from fastapi import FastAPI

from crimeguard.domain.errors import RegistryError
from crimeguard.records.database import Database
from crimeguard.records.prediction_log import PredictionLog
from crimeguard.registry import experiments
from crimeguard.serve.answers_experiment import ExperimentStatus
from crimeguard.serve.app import create_app
from crimeguard.serve.keys import Scope, make_key
from crimeguard.serve.slot import Slot
from crimeguard.settings import Settings
from tests.serve.fakes import Client
from tests.serve.test_traffic import Bench

SHADOW = {"mode": "shadow", "version": "2", "why": "trained on May"}
SPLIT = {"mode": "split", "version": 2, "share": 0.5}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.database.close()


def serving(bench: Bench, settings: Settings) -> Iterator[FastAPI]:
    with PredictionLog(bench.database) as log:
        app = create_app(settings, bench.slot, log=log, traffic=bench.traffic)
        yield app
        app.state.service.close()


@pytest.fixture
def client(bench: Bench, settings: Settings) -> Iterator[Client]:
    for app in serving(bench, settings):
        yield Client(app)


def checked(answer: httpx.Response, code: int = 200) -> dict[str, Any]:
    assert answer.status_code == code, answer.text
    document: dict[str, Any] = answer.json()
    ExperimentStatus.model_validate(document)
    return document


def refusal(answer: httpx.Response, code: int, slug: str) -> dict[str, Any]:
    assert answer.status_code == code
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["type"] == f"/docs#problem-{slug}"
    return document


def test_an_experiment_is_started_looked_at_and_stopped(client: Client, bench: Bench) -> None:
    assert checked(client.get("/experiment")) == {
        "running": False, "state": "none", "experiment": None,
    }  # fmt: skip
    begun = checked(client.post("/experiment", json=SHADOW), 201)
    assert begun["running"] is True
    assert begun["experiment"]["started"]["why"] == "trained on May"
    bench.traffic.look()
    now = checked(client.get("/experiment"))
    assert now["state"] == "running"
    assert now["experiment"]["finding"]["verdict"] == "undecided"
    assert client.get("/health").json()["experiment"] == {
        "state": "running", "id": now["experiment"]["id"], "mode": "shadow", "version": "2",
    }  # fmt: skip
    ended = checked(client.request("DELETE", "/experiment?why=enough"))
    assert ended["running"] is False
    assert ended["experiment"]["stopped"]["why"] == "enough"
    assert bench.traffic.shadow() is None
    bench.traffic.look()
    assert client.get("/health").json()["experiment"] is None
    assert checked(client.get("/experiment"))["experiment"]["id"] == begun["experiment"]["id"]


def test_what_does_not_fit_the_state_is_a_conflict(client: Client) -> None:
    refusal(client.request("DELETE", "/experiment"), 409, "conflict")
    checked(client.post("/experiment", json=SPLIT), 201)
    said = refusal(client.post("/experiment", json=SHADOW), 409, "conflict")
    assert "runs already" in said["detail"]


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"json": {}}, 422, "bad-experiment"),
    ({"json": {**SHADOW, "version": "1"}}, 422, "bad-experiment"),
    ({"json": {**SHADOW, "version": "9"}}, 422, "bad-experiment"),
    ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "not-json"),
    ({"content": b'{"mode":"shadow","mode":"split","version":2}',
      "headers": {"Content-Type": "application/json"}}, 400, "not-json"),
    ({"content": b"mode=shadow"}, 415, "wrong-media-type"),
    ({"json": {**SHADOW, "why": "x" * 30_000}}, 413, "too-large"),
]  # fmt: skip


def test_a_body_that_is_none_starts_nothing(client: Client, bench: Bench) -> None:
    for body, code, slug in REFUSED:
        refusal(client.post("/experiment", **body), code, slug)
    assert experiments.running(bench.ledger) is None


def test_what_is_away_is_told_in_our_words(
    client: Client, bench: Bench, settings: Settings
) -> None:
    bench.registry.failure = RegistryError("secret words of a library")
    said = refusal(client.post("/experiment", json=SHADOW), 503, "no-registry")
    assert "secret" not in str(said)
    refusal(client.request("DELETE", f"/experiment?why={'x' * 501}"), 422, "bad-query")
    unlogged = create_app(settings, bench.slot)
    refusal(Client(unlogged).get("/experiment"), 503, "no-log")
    refusal(Client(unlogged).post("/experiment", json=SHADOW), 503, "no-log")
    refusal(Client(unlogged).request("DELETE", "/experiment"), 503, "no-log")
    unlogged.state.service.close()


def test_without_a_model_there_is_nothing_to_compare_with(bench: Bench, settings: Settings) -> None:
    with PredictionLog(bench.database) as log:
        app = create_app(settings, Slot(), log=log, traffic=bench.traffic)
        refusal(Client(app).post("/experiment", json=SHADOW), 503, "no-model")
        app.state.service.close()


def test_only_an_admin_may_and_the_ledger_says_who(bench: Bench, settings: Settings) -> None:
    keys = {scope: make_key(f"only-{scope}", [scope]) for scope in Scope}
    entries = ",".join(key.entry() for _, key in keys.values())
    running = serving(bench, replace(settings, api_keys=entries))
    client = Client(next(running))
    assert client.get("/experiment").status_code == 401
    for scope in (Scope.PREDICT, Scope.LABEL):
        shown = {"X-API-Key": keys[scope][0]}
        refusal(client.post("/experiment", json=SHADOW, headers=shown), 403, "wrong-scope")
        refusal(client.get("/experiment", headers=shown), 403, "wrong-scope")
    shown = {"X-API-Key": keys[Scope.ADMIN][0], "X-Request-ID": "asked-by-ada"}
    checked(client.post("/experiment", json=SHADOW, headers=shown), 201)
    checked(client.request("DELETE", "/experiment", headers=shown))
    (found,) = experiments.experiments(bench.ledger)
    assert found.stopped is not None
    for step in (found.started, found.stopped):
        assert step.who == f"only-{Scope.ADMIN}"
        assert step.evidence["request_id"] == "asked-by-ada"
    assert next(running, None) is None


def test_answers_are_as_described(client: Client) -> None:
    document = client.get("/openapi.json").json()
    for method, body, code in (
        ("delete", {}, 409), ("get", {}, 200), ("post", {"json": SPLIT}, 201),
        ("post", {"json": SPLIT}, 409), ("post", {"json": []}, 422), ("delete", {}, 200),
    ):  # fmt: skip
        answer = client.request(method.upper(), "/experiment", **body)
        assert answer.status_code == code
        described = document["paths"]["/experiment"][method]["responses"][str(code)]["content"]
        schema = described[answer.headers["content-type"]]["schema"]
        jsonschema.Draft202012Validator({**document, **schema}).validate(answer.json())


def test_the_records_may_be_either_database(database: Database, settings: Settings) -> None:
    with PredictionLog(database) as log:
        app = create_app(settings, Slot(), log=log)
        assert checked(Client(app).get("/experiment"))["experiment"] is None
        app.state.service.close()
