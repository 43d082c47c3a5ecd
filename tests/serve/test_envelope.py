from __future__ import annotations

import logging

import pytest
from fastapi import FastAPI
from starlette.responses import Response

from crimeguard.serve.app import create_app
from crimeguard.serve.envelope import SECURITY_HEADERS
from crimeguard.serve.openapi import NAMES_EXAMPLE
from crimeguard.serve.slot import Slot
from crimeguard.settings import Settings
from tests.serve.fakes import BrokenPredictor, Client


@pytest.mark.parametrize("path", ["/livez", "/nowhere", "/docs", "/predict"])
def test_every_answer_carries_an_id_and_the_security_headers(client: Client, path: str) -> None:
    headers = client.get(path).headers
    assert len(headers["X-Request-ID"]) == 32
    for name in SECURITY_HEADERS:
        assert name in headers


def test_a_sensible_request_id_is_echoed(client: Client) -> None:
    answer = client.get("/nowhere", headers={"X-Request-ID": "trace-42.A_b"})
    assert answer.headers["X-Request-ID"] == "trace-42.A_b"
    assert answer.json()["request_id"] == "trace-42.A_b"


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "<script>", "é".encode().decode("latin-1")])
def test_any_other_request_id_is_replaced(client: Client, given: str) -> None:
    answer = client.get("/livez", headers={"X-Request-ID": given.encode("latin-1")})
    assert answer.headers["X-Request-ID"] != given
    assert len(answer.headers["X-Request-ID"]) == 32


def test_a_fault_is_logged_and_told_without_its_words(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(settings, Slot(BrokenPredictor()))
    try:
        with caplog.at_level(logging.ERROR):
            answer = Client(app).post("/predict", json=NAMES_EXAMPLE)
    finally:
        app.state.service.close()
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    assert "RuntimeError" not in answer.text
    assert "secret words of a library" in caplog.text
    (record,) = [item for item in caplog.records if item.exc_info]
    assert vars(record)["facts"] == {"request_id": answer.json()["request_id"]}


def test_no_other_site_is_let_in(client: Client) -> None:
    preflight = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = client.request("OPTIONS", "/predict", headers=preflight)
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_what_a_route_says_itself_stays_and_each_header_comes_once(app: FastAPI) -> None:
    app.add_api_route("/own", lambda: Response(headers={"CACHE-control": "max-age=5"}))
    client = Client(app)
    for path in ("/docs", "/docs/docs.css", "/livez", "/nowhere", "/own"):
        names = [name.lower() for name, _ in client.get(path).headers.multi_items()]
        assert len(names) == len(set(names))
    assert client.get("/own").headers["Cache-Control"] == "max-age=5"
    assert client.get("/livez").headers["Cache-Control"] == "no-store"


def test_whoever_is_answered_while_leaving_is_asked_to_close(app: FastAPI) -> None:
    assert "Connection" not in Client(app).get("/livez").headers
    app.state.service.leaving.set()
    assert Client(app).get("/livez").headers.get_list("Connection") == ["close"]
