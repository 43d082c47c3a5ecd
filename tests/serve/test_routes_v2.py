"""/v2 against the protocol's own client, and against what that client would never send."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton  # type: ignore[import-untyped]
from fastapi import FastAPI
from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]

import crimeguard
from crimeguard.domain.category import CATEGORIES
from crimeguard.registry.bundle import Bundle
from crimeguard.serve.app import create_app
from crimeguard.serve.keys import Scope, make_key
from crimeguard.serve.openapi import NAMES_EXAMPLE
from crimeguard.serve.predictor import Predictor
from crimeguard.serve.slot import Slot
from crimeguard.serve.tensors import OUTPUTS
from crimeguard.settings import Settings
from tests.retrain.api import listening
from tests.serve.fakes import Client
from tests.serve.test_incident import RAW_ROW

INFER = "/v2/models/crimeguard/infer"
RECORDS: list[dict[str, Any]] = [NAMES_EXAMPLE, RAW_ROW, {"date_occ": "2023-03-10", "area": 7}]
SECRET, KEY = make_key("kserve", [Scope.PREDICT])


@pytest.fixture(scope="module")
def served(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    """The real API with a real bundle, that lets in one key."""
    settings = Settings(home=tmp_path_factory.mktemp("v2"), api_keys=KEY.entry())
    app = create_app(settings, Slot(Predictor(Bundle.load(tiny_bundle))))
    with listening(app) as url:
        app.state.url = url.removeprefix("http://")
        yield app


@pytest.fixture
def kserve(served: FastAPI) -> Iterator[triton.InferenceServerClient]:
    client = triton.InferenceServerClient(served.state.url)
    yield client
    client.close()


HEADERS = {"Authorization": f"Bearer {SECRET}"}


def tensor(name: str, kind: str, values: list[Any], *more: int) -> triton.InferInput:
    made = triton.InferInput(name, [len(values), *more], kind)
    array = np.array(values, dtype={"BYTES": "O", "INT32": "i4", "FP32": "f4"}[kind])
    made.set_data_from_numpy(array.reshape([len(values), *more]), binary_data=False)
    return made


def incident(records: list[dict[str, Any]], *more: int) -> triton.InferInput:
    return tensor("incident", "BYTES", [json.dumps(record) for record in records], *more)


def test_the_client_learns_what_is_served(
    kserve: triton.InferenceServerClient, served: FastAPI
) -> None:
    bundle = served.state.service.slot.require().bundle
    assert kserve.is_server_live()
    assert kserve.is_server_ready()
    assert kserve.get_server_metadata() == {
        "name": "crimeguard", "version": crimeguard.__version__, "extensions": [],
    }  # fmt: skip
    for version in ("", bundle.version):
        assert kserve.is_model_ready("crimeguard", version, headers=HEADERS)
        found = kserve.get_model_metadata("crimeguard", version, headers=HEADERS)
        assert (found["name"], found["versions"]) == ("crimeguard", [bundle.version])
        assert found["inputs"] == [{"name": "incident", "datatype": "BYTES", "shape": [-1]}]
        assert [item["name"] for item in found["outputs"]] == [name for name, _, _ in OUTPUTS]
    assert not kserve.is_model_ready("crimeguard", "0", headers=HEADERS)
    assert not kserve.is_model_ready("another", headers=HEADERS)
    assert not kserve.is_model_ready("crimeguard")


@pytest.mark.parametrize("more", [(), (1,)])
def test_the_client_gets_the_answers_of_predict(
    kserve: triton.InferenceServerClient, served: FastAPI, more: tuple[int, ...]
) -> None:
    found = kserve.infer("crimeguard", [incident(RECORDS, *more)], request_id="7", headers=HEADERS)
    response = found.get_response()
    assert response["id"] == "7"
    names = found.as_numpy("categories").tolist()
    assert names == list(CATEGORIES)
    assert found.as_numpy("probabilities").shape == (3, 15)
    api = Client(served)
    for row, record in enumerate(RECORDS):
        alone = api.post("/predict", json=record, headers=HEADERS).json()
        assert found.as_numpy("prediction")[row] == alone["prediction"]
        assert found.as_numpy("confidence")[row] == alone["confidence"]
        assert found.as_numpy("information_level")[row] == alone["information_level"]
        assert found.as_numpy("probabilities")[row].tolist() == [
            alone["probabilities"][name] for name in names
        ]
        inside = found.as_numpy("prediction_set")[row]
        assert {names[place] for place in np.flatnonzero(inside)} == set(alone["prediction_set"])
        assert response["parameters"]["sha256"] == alone["model_info"]["sha256"]
    ignored = api.post("/predict", json=RAW_ROW, headers=HEADERS).json()["ignored_fields"]
    assert response["parameters"]["ignored_fields"] == ", ".join(ignored)
    assert len(set(found.as_numpy("prediction_id").tolist())) == 3


def test_fields_may_be_tensors(kserve: triton.InferenceServerClient, served: FastAPI) -> None:
    inputs = [
        tensor("date_occ", "BYTES", ["2023-03-10", "2023-03-11"], 1),
        tensor("AREA", "INT32", [12, 3], 1),
        tensor("lat", "FP32", [33.97, 34.01], 1),
        tensor("lon", "FP32", [-118.29, -118.3], 1),
        tensor("information_level", "BYTES", ["call", "report"], 1),
    ]
    wanted = [triton.InferRequestedOutput(name, binary_data=False)
              for name in ("confidence", "prediction")]  # fmt: skip
    found = kserve.infer("crimeguard", inputs, outputs=wanted, headers=HEADERS)
    assert [item["name"] for item in found.get_response()["outputs"]] == [
        "confidence", "prediction",
    ]  # fmt: skip
    body = {"date_occ": "2023-03-10", "AREA": 12, "lat": float(np.float32(33.97)),
            "lon": float(np.float32(-118.29)), "information_level": "call"}  # fmt: skip
    alone = Client(served).post("/predict", json=body, headers=HEADERS).json()
    assert found.as_numpy("confidence")[0] == alone["confidence"]
    assert found.as_numpy("confidence").shape == (2,)


def test_fields_may_complete_incidents(kserve: triton.InferenceServerClient) -> None:
    inputs = [incident([{"date_occ": "2023-03-10"}] * 2), tensor("area", "INT32", [1, 2])]
    assert kserve.infer("crimeguard", inputs, headers=HEADERS).as_numpy("prediction").shape == (2,)


def test_the_client_shows_what_is_wrong(kserve: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException) as refused:
        kserve.infer("crimeguard", [incident([{"date_occ": "2023-03-10", "area": "x"}])],
                     headers=HEADERS)  # fmt: skip
    assert refused.value.status() == "422"
    assert "/inputs/0/data/0" in refused.value.message()
    assert "area" in refused.value.message()


def test_the_client_shows_that_a_key_is_missing(kserve: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="needs an API key") as refused:
        kserve.infer("crimeguard", [incident(RECORDS)])
    assert refused.value.status() == "401"


def test_binary_tensors_are_refused_with_a_way_on(kserve: triton.InferenceServerClient) -> None:
    made = triton.InferInput("incident", [1], "BYTES")
    made.set_data_from_numpy(np.array([json.dumps(NAMES_EXAMPLE)], dtype=np.object_))
    with pytest.raises(InferenceServerException, match="binary_data=False") as refused:
        kserve.infer("crimeguard", [made], headers=HEADERS)
    assert refused.value.status() == "415"


def body(**changes: Any) -> dict[str, Any]:
    made = {"name": "incident", "datatype": "BYTES", "shape": [1],
            "data": [json.dumps(NAMES_EXAMPLE)]}  # fmt: skip
    return {"inputs": [{**made, **changes}]}


AREA = {"name": "area", "datatype": "INT64", "shape": [1], "data": [1]}


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ([], ""),
        ({}, "/inputs"),
        ({"inputs": []}, "/inputs"),
        ({"inputs": {}}, "/inputs"),
        ({"inputs": [1]}, "/inputs/0"),
        ({"inputs": [AREA] * 101}, "/inputs"),
        ({**body(), "model": "x"}, "/model"),
        ({**body(), "id": 7}, "/id"),
        ({**body(), "id": "7" * 201}, "/id"),
        ({**body(), "outputs": {}}, "/outputs"),
        ({**body(), "outputs": ["prediction"]}, "/outputs/0"),
        ({**body(), "outputs": [{"name": "x"}]}, "/outputs/0/name"),
        ({**body(), "outputs": [{"name": ["prediction"]}]}, "/outputs/0/name"),
        ({**body(), "outputs": [{"name": "prediction"}] * 2}, "/outputs/1/name"),
        (body(name="x"), "/inputs/0/name"),
        (body(name=["incident"]), "/inputs/0/name"),
        (body(extra=1), "/inputs/0/extra"),
        (body(datatype="INT64"), "/inputs/0/datatype"),
        (body(datatype="BOOL", name="area"), "/inputs/0/datatype"),
        (body(datatype=["BYTES"]), "/inputs/0/datatype"),
        (body(shape=1), "/inputs/0/shape"),
        (body(shape=[]), "/inputs/0/shape"),
        (body(shape=[0]), "/inputs/0/shape"),
        (body(shape=[-1]), "/inputs/0/shape"),
        (body(shape=[True]), "/inputs/0/shape"),
        (body(shape=[1.0]), "/inputs/0/shape"),
        (body(shape=[1, 2]), "/inputs/0/shape"),
        (body(shape=[1, 1, 1]), "/inputs/0/shape"),
        (body(shape=[10_001]), "/inputs/0/shape"),
        (body(shape=[2]), "/inputs/0/data"),
        (body(data="x"), "/inputs/0/data"),
        (body(data=None), "/inputs/0/data"),
        (body(data=[7]), "/inputs/0/data/0"),
        (body(data=[["{}"]]), "/inputs/0/data/0"),
        (body(data=[None]), "/inputs/0/data/0"),
        (body(data=["["]), "/inputs/0/data/0"),
        (body(data=["[]"]), "/inputs/0/data/0"),
        (body(data=['{"area": NaN}']), "/inputs/0/data/0"),
        ({"inputs": [{**AREA, "data": [True]}]}, "/inputs/0/data/0"),
        ({"inputs": [{**AREA, "data": [1.5]}]}, "/inputs/0/data/0"),
        ({"inputs": [{**AREA, "data": ["1"]}]}, "/inputs/0/data/0"),
        ({"inputs": [AREA, AREA]}, "/inputs/1/name"),
        ({"inputs": [*body()["inputs"], AREA]}, "/inputs/1/data/0"),
        ({"inputs": [*body()["inputs"], {**AREA, "shape": [2], "data": [1, 2]}]},
         "/inputs/1/shape"),
    ],
)  # fmt: skip
def test_a_request_that_is_none_is_pointed_at(client: Client, document: Any, place: str) -> None:
    answer = client.post(INFER, json=document)
    assert answer.status_code == 400, answer.text
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"] == "/docs#problem-bad-tensor"
    assert [flaw["pointer"] for flaw in problem["errors"]] == [place]
    assert (place or "The body") in problem["error"]


@pytest.mark.parametrize(
    ("inputs", "place", "words"),
    [
        ([AREA], "/inputs/0/data/0", "DATE OCC"),
        ([{**AREA, "data": [-1]}], "/inputs/0/data/0", "-1"),
        (body(data=[json.dumps({**NAMES_EXAMPLE, "AREA": 3})])["inputs"], "/inputs/0/data/0",
         "second value"),
        (body(data=[json.dumps({**NAMES_EXAMPLE, "a/b": 3})])["inputs"], "/inputs/0/data/0",
         "a/b: is not a field"),
        ([{**AREA, "data": [1]}, {**AREA, "name": "vict_age", "data": [999]}],
         "/inputs/1/data/0", "999"),
    ],
)  # fmt: skip
def test_an_incident_that_is_none_is_pointed_at_in_its_tensor(
    client: Client, inputs: list[Any], place: str, words: str
) -> None:
    answer = client.post(INFER, json={"inputs": inputs})
    assert answer.status_code == 422
    flaws = [flaw for flaw in answer.json()["errors"] if flaw["pointer"] == place]
    assert any(words in flaw["detail"] for flaw in flaws), answer.text


def test_many_flaws_are_not_all_collected(client: Client) -> None:
    rows = 5_000
    inputs = [
        {"name": "incident", "datatype": "BYTES", "shape": [rows], "data": ["x"] * rows},
    ]
    answer = client.post(INFER, json={"inputs": inputs})
    assert answer.status_code == 400
    assert len(answer.json()["errors"]) == 20
    assert answer.json()["error"].endswith("And 17 more.")


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "application/json; charset=utf-8"}])
def test_a_body_may_come_without_a_type(client: Client, headers: dict[str, str]) -> None:
    content = json.dumps(body()).encode()
    assert client.post(INFER, content=content, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        # What a page of another site can send without asking.
        {"Origin": "http://evil.example"},
        {"Content-Encoding": "gzip", "Content-Type": "application/json"},
        {"Inference-Header-Content-Length": "10"},
    ],
)
def test_other_bodies_are_refused(client: Client, headers: dict[str, str]) -> None:
    content = json.dumps(body()).encode()
    assert client.post(INFER, content=content, headers=headers).status_code == 415


def test_a_large_body_is_refused(client: Client, settings: Settings) -> None:
    assert client.post(INFER, content=b" " * 200_001).status_code == 413


def test_a_large_request_waits_with_the_batches(client: Client, app: FastAPI) -> None:
    used: list[str] = []
    service = app.state.service
    for name in ("singles", "batches"):
        workers = getattr(service, name)

        async def noted(job: Any, name: str = name, run: Any = workers.run, **limits: Any) -> Any:
            used.append(name)
            return await run(job, **limits)

        workers.run = noted
    text = json.dumps(NAMES_EXAMPLE)
    for number in (1, 500):
        answer = client.post(INFER, json=body(shape=[number], data=[text] * number))
        assert answer.status_code == 200
        assert answer.json()["outputs"][0]["shape"] == [number]
    assert used == ["singles", "batches"]


def test_without_a_model_it_is_live_and_not_ready(settings: Settings) -> None:
    app = create_app(settings, Slot())
    client = Client(app)
    assert client.get("/v2/health/live").json() == {"live": True}
    for path in ("/v2/health/ready", "/v2/models/crimeguard/ready", "/v2/models/crimeguard"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert "No verified model" in answer.json()["error"]
    assert client.post(INFER, json=body()).status_code == 503
    app.state.service.close()


def test_another_version_is_not_here(client: Client) -> None:
    for version, status in (("1", 200), ("2", 404), ("1%0A", 404)):
        path = f"/v2/models/crimeguard/versions/{version}"
        assert client.get(path).status_code == status
        assert client.post(f"{path}/infer", json=body()).status_code == status


def test_every_refusal_below_v2_has_the_words_that_clients_show(client: Client) -> None:
    for method, path in (("GET", "/v2/x"), ("DELETE", "/v2"), ("POST", INFER)):
        answer = client.request(method, path)
        assert answer.status_code >= 400
        assert answer.json()["error"].startswith(answer.json()["detail"])
    assert "error" not in client.get("/v2x").json()


def test_predictions_are_counted_like_the_others(client: Client) -> None:
    client.post(INFER, json=body(shape=[2], data=[json.dumps(NAMES_EXAMPLE)] * 2))
    lines = client.get("/metrics").text.splitlines()
    assert any('route="/v2/models/crimeguard/infer"' in line for line in lines)
    counted = [line for line in lines if line.startswith("crimeguard_predictions_total")]
    assert sum(line.endswith(" 2.0") for line in counted) == 1
