from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.serve.answers import PredictionAnswer, ProblemAnswer
from crimeguard.serve.app import create_app
from crimeguard.serve.openapi import CALL_EXAMPLE, HEADINGS_EXAMPLE, NAMES_EXAMPLE
from crimeguard.serve.slot import Slot
from crimeguard.settings import Settings
from tests.serve.fakes import Client, FakePredictor, WaitingPredictor
from tests.serve.test_incident import RAW_ROW

JSON = {"Content-Type": "application/json"}
CSV = ",".join(HEADINGS_EXAMPLE) + "\n" + ",".join(HEADINGS_EXAMPLE.values()) + "\n"


def problem_of(answer: httpx.Response, status: int, slug: str) -> ProblemAnswer:
    """Check the shape of a refusal and that nothing of Python or a library is in it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = ProblemAnswer.model_validate_json(answer.text)
    assert document.type == f"/docs#problem-{slug}"
    assert document.status == status
    assert document.instance == answer.request.url.path
    for word in ("Traceback", "Error", "Exception", "orjson", "polars", "zlib", ".py"):
        assert word not in answer.text
    return document


@pytest.mark.parametrize("body", [HEADINGS_EXAMPLE, NAMES_EXAMPLE, RAW_ROW, CALL_EXAMPLE])
def test_an_answer_says_what_how_sure_and_who(client: Client, body: dict[str, Any]) -> None:
    answer = client.post("/predict", json=body)
    assert answer.status_code == 200
    document = PredictionAnswer.model_validate_json(answer.text)
    assert list(answer.json()["probabilities"]) == list(CATEGORIES)
    assert sum(document.probabilities.values()) == pytest.approx(1)
    assert document.confidence == max(document.probabilities.values())
    assert document.prediction in document.prediction_set
    assert document.model_info.sha256 == "1".zfill(64)


def test_ignored_fields_are_named_as_they_were_spelled(client: Client) -> None:
    document = client.post("/predict", json={**NAMES_EXAMPLE, "Crm Cd": 510}).json()
    assert document["ignored_fields"] == ["Crm Cd"]


def test_the_level_hides_what_is_above_it(client: Client) -> None:
    bare = {key: CALL_EXAMPLE[key] for key in ("date_occ", "time_occ", "area", "premis_cd")}
    hidden = client.post("/predict", json=CALL_EXAMPLE).json()
    assert hidden["information_level"] == "call"
    assert hidden["probabilities"] == client.post("/predict", json=bare).json()["probabilities"]
    assert hidden["prediction"] != client.post("/predict", json=NAMES_EXAMPLE).json()["prediction"]


BAD_BODIES = {
    "empty": (b"", 400, "not-json"),
    "not JSON": (b"hello", 400, "not-json"),
    "cut off": (b'{"AREA": 1', 400, "not-json"),
    "NaN": (b'{"DATE OCC": "01/01/2023", "AREA": NaN}', 400, "not-json"),
    "Infinity": (b'{"DATE OCC": "01/01/2023", "LAT": Infinity}', 400, "not-json"),
    "a name twice": (b'{"AREA": 1, "AREA": 2}', 400, "not-json"),
    "deep": (b"[" * 9_000 + b"]" * 9_000, 400, "not-json"),
    "deep inside": (b'{"AREA": ' + b"[" * 99 + b"]" * 99 + b"}", 400, "not-json"),
    "invalid UTF-8": (b'{"LOCATION": "\xff"}', 400, "not-json"),
    "half a letter": (b'{"LOCATION": "\\udc00"}', 400, "not-json"),
    "too large": (b" " * 20_001, 413, "too-large"),
    "10 MB": (b'{"LOCATION": "' + b"x" * 10_000_000 + b'"}', 413, "too-large"),
    "a list": (b"[]", 422, "bad-incident"),
    "a number": (b"1", 422, "bad-incident"),
    "null": (b"null", 422, "bad-incident"),
    "nothing known": (b"{}", 422, "bad-incident"),
    "unknown field": (b'{"DATE OCC": "01/01/2023", "AREA": 1, "x": 1}', 422, "bad-incident"),
    "wrong type": (b'{"DATE OCC": "01/01/2023", "AREA": {"a": 1}}', 422, "bad-incident"),
    "wrong value": (b'{"DATE OCC": "01/32/2023", "AREA": 1}', 422, "bad-incident"),
    "both spellings": (b'{"DATE OCC": "01/01/2023", "AREA": 1, "area": 2}', 422, "bad-incident"),
    "huge number": (b'{"DATE OCC": "01/01/2023", "AREA": 1e300}', 422, "bad-incident"),
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_bad_bodies_are_refused(client: Client, case: str) -> None:
    body, status, slug = BAD_BODIES[case]
    document = problem_of(client.post("/predict", content=body, headers=JSON), status, slug)
    assert bool(document.errors) == (status == 422)


def test_a_body_without_a_length_is_bounded_too(client: Client) -> None:
    async def pieces() -> Any:
        for _ in range(100):
            yield b" " * 1_000

    answer = client.post("/predict", content=pieces(), headers=JSON)
    problem_of(answer, 413, "too-large")


@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
@pytest.mark.parametrize(
    "headers", [{}, {"Content-Type": "text/plain"}, {**JSON, "Content-Encoding": "gzip"}]
)
def test_other_content_types_are_refused(
    client: Client, path: str, headers: dict[str, str]
) -> None:
    answer = client.post(path, content=b"{}", headers=headers)
    problem_of(answer, 415, "wrong-media-type")


@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_refused(client: Client, path: str, method: str) -> None:
    answer = client.request(method, path)
    problem_of(answer, 405, "wrong-method")
    assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize("path", ["/predict/", "/nowhere", "/docs/../etc", "/%00", "/predict/x"])
def test_unknown_paths_are_refused(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_without_a_model_everybody_is_asked_to_wait(settings: Settings) -> None:
    app = create_app(settings, Slot())
    try:
        for path in ("/predict", "/predict/batch"):
            answer = Client(app).post(path, json=NAMES_EXAMPLE)
            problem_of(answer, 503, "no-model")
            assert int(answer.headers["Retry-After"]) > 0
    finally:
        app.state.service.close()


def test_a_request_ends_on_the_bundle_it_began_with(settings: Settings) -> None:
    slot = Slot(FakePredictor("1"))
    app = create_app(settings, slot)
    body = json.dumps(NAMES_EXAMPLE).encode()

    async def in_two_parts() -> AsyncIterator[bytes]:
        yield body[:9]
        slot.swap(FakePredictor("2"))
        yield body[9:]

    async def swap_in_between() -> tuple[str, str]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            kind = {"Content-Type": "application/json"}
            first = await client.post("/predict", content=in_two_parts(), headers=kind)
            second = await client.post("/predict", content=body, headers=kind)
            return first.json()["model_info"]["version"], second.json()["model_info"]["version"]

    try:
        assert asyncio.run(swap_in_between()) == ("1", "2")
    finally:
        app.state.service.close()


def test_the_loop_goes_on_while_a_batch_is_computed(settings: Settings) -> None:
    slow = WaitingPredictor()
    app = create_app(settings, Slot(slow))

    async def probe() -> int:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            pending = asyncio.create_task(client.post("/predict/batch", json=[NAMES_EXAMPLE]))
            await asyncio.to_thread(slow.entered.wait, 10)
            status = (await client.get("/livez")).status_code
            slow.let.set()
            await pending
            return status

    try:
        assert asyncio.run(probe()) == 200
    finally:
        slow.let.set()
        app.state.service.close()
