import json
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest

from crimeguard.ui.client import (
    ApiDownError,
    ApiError,
    Client,
    KeyRefusedError,
    NotReadyError,
    Problem,
)
from tests.ui.fake_api import CARD, FakeApi, problem

RECORD = {"date_occ": "2023-03-01", "area": 1}


def client(answer: Callable[[httpx.Request], httpx.Response]) -> Client:
    return Client("http://api.test/", httpx.MockTransport(answer))


def always(status: int, kind: str, body: str) -> Client:
    return client(lambda _: httpx.Response(status, headers={"content-type": kind}, text=body))


def test_it_asks_the_api_and_reads_its_answers(fake_api: FakeApi) -> None:
    api = Client(fake_api.url)
    assert api.health().status == "ok"
    assert api.model_card().card == CARD
    assert api.predict({**RECORD, "premis_cd": 108}).category == "theft_from_vehicle"
    assert fake_api.asked == [{**RECORD, "premis_cd": 108}]
    batch = api.predict_file("a.csv", b"DATE OCC,Premis Cd\n2023-01-01,108\n2023-01-01,101\n")
    assert [answer.category for answer in batch.answers] == ["theft_from_vehicle", "theft"]
    api.close()


def test_nobody_at_the_address_is_said_with_a_way_on() -> None:
    api = Client("http://127.0.0.1:1")
    with pytest.raises(ApiDownError) as caught:
        api.health()
    api.close()
    assert caught.value.what == "The prediction service at http://127.0.0.1:1 cannot be reached."
    assert "crimeguard serve" in caught.value.fix


def test_an_address_that_is_none_is_said_the_same_way() -> None:
    api = Client("nonsense://")
    with pytest.raises(ApiDownError, match="cannot be reached"):
        api.health()
    api.close()


def test_a_slow_service_is_said() -> None:
    def late(_: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("late")

    with pytest.raises(ApiDownError, match="did not answer in time"):
        client(late).predict(RECORD)


def test_a_service_that_is_not_ready_is_said_with_its_reason() -> None:
    with pytest.raises(NotReadyError) as caught:
        always(*problem(503, "No model is loaded yet")).predict(RECORD)
    assert caught.value.why == "No model is loaded yet."
    assert "crimeguard doctor" in caught.value.fix


def test_a_refusal_names_every_value() -> None:
    flaws: list[dict[str, Any]] = [
        {"pointer": "/Vict Age", "detail": "'400' is not an age."},
        {"pointer": "/3/DATE OCC", "row": 4, "column": "DATE OCC", "detail": "is missing."},
    ]
    with pytest.raises(ApiError) as caught:
        always(*problem(422, "Two values are wrong", *flaws)).predict(RECORD)
    assert caught.value.what == "Two values are wrong."
    assert caught.value.problems == (
        Problem("/Vict Age", "'400' is not an age.", None, "Vict Age"),
        Problem("/3/DATE OCC", "is missing.", 4, "DATE OCC"),
    )


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_asked_for_is_said(status: int) -> None:
    with pytest.raises(KeyRefusedError, match="asks for a key") as caught:
        always(*problem(status, "No key was sent.")).predict(RECORD)
    assert caught.value.why == "No key was sent."
    assert "CRIMEGUARD_API_KEY" in caught.value.fix


def test_the_key_is_sent_with_every_request() -> None:
    sent: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers.get("X-API-Key"))
        return httpx.Response(500)

    for headers in ({"X-API-Key": "cg_x"}, None):
        api = Client("http://api.test", httpx.MockTransport(answer), headers=headers)
        for ask in (api.health, api.model_card, partial(api.predict, RECORD)):
            with pytest.raises(ApiError):
                ask()
    assert sent == ["cg_x"] * 3 + [None] * 3


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (500, "text/html", "<h1>Traceback</h1>"),
        (500, "application/problem+json", "{broken"),
        (404, "application/json", '{"detail": "Traceback"}'),
        (502, "application/problem+json", '["Traceback"]'),
    ],
)
def test_a_failure_is_said_without_its_text(status: int, kind: str, body: str) -> None:
    with pytest.raises(ApiError) as caught:
        always(status, kind, body).predict(RECORD)
    assert f"HTTP {status}" in caught.value.what
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("body", ["<html>", "[]", "{}", json.dumps({"prediction": "theft"})])
def test_a_foreign_service_is_recognised(body: str) -> None:
    with pytest.raises(ApiError, match="does not speak like CrimeGuard"):
        always(200, "text/html", body).predict(RECORD)


def test_a_proxy_of_the_environment_is_not_used(
    fake_api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    api = Client(fake_api.url)
    assert api.health().status == "ok"
    api.close()


@pytest.mark.parametrize(
    ("body", "column"),
    [
        ({"pointer": "#/a~1b", "detail": ""}, "a/b"),
        ({"pointer": "/7", "detail": ""}, ""),
        ({"pointer": "", "detail": ""}, ""),
        ({}, ""),
    ],
)
def test_a_column_is_read_from_a_pointer(body: dict[str, Any], column: str) -> None:
    assert Problem.read(body).column == column
