from __future__ import annotations

from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from crimeguard.domain.field import CANONICAL_NAMES
from crimeguard.serve.openapi import CALL_EXAMPLE, HEADINGS_EXAMPLE, INFER_BODY, NAMES_EXAMPLE
from tests.serve.fakes import Client
from tests.serve.test_incident import RAW_ROW


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


INFER = "/v2/models/crimeguard/infer"
TENSORS = INFER_BODY["content"]["application/json"]["examples"]["fields"]["value"]


def check(value: Any, schema: dict[str, Any], document: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator({**document, **schema})
    validator.validate(value)


def ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [found for child in node for found in references(child)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + [found for child in node.values() for found in references(child)]


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for target in references(document):
        assert target.removeprefix("#/components/schemas/") in document["components"]["schemas"]


@pytest.mark.parametrize("record", [HEADINGS_EXAMPLE, NAMES_EXAMPLE, CALL_EXAMPLE, RAW_ROW])
def test_incidents_fit_the_schema(document: dict[str, Any], record: dict[str, Any]) -> None:
    check(record, ref("Incident"), document)


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"date_occ": "2023-01-01"},
        {"area": 1},
        {**NAMES_EXAMPLE, "x": 1},
        {**NAMES_EXAMPLE, "area": [1]},
        {**NAMES_EXAMPLE, "mocodes": [[1]]},
        {**NAMES_EXAMPLE, "information_level": "all"},
    ],
)
def test_what_the_schema_refuses_the_api_refuses(
    document: dict[str, Any], client: Client, record: dict[str, Any]
) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check(record, ref("Incident"), document)
    assert client.post("/predict", json=record).status_code == 422


def test_the_schema_knows_both_spellings_of_every_field(document: dict[str, Any]) -> None:
    incident = document["components"]["schemas"]["Incident"]
    assert set(incident["properties"]) == {*CANONICAL_NAMES, "information_level"}
    assert incident["additionalProperties"] is False


def test_examples_work(document: dict[str, Any], client: Client) -> None:
    for path in ("/predict", "/predict/batch", INFER):
        content = document["paths"][path]["post"]["requestBody"]["content"]
        for example in content["application/json"]["examples"].values():
            assert client.post(path, json=example["value"]).status_code == 200
    content = document["paths"]["/predict/batch"]["post"]["requestBody"]["content"]
    table = content["text/csv"]["example"]
    answer = client.post("/predict/batch", content=table, headers={"Content-Type": "text/csv"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("post", "/predict", NAMES_EXAMPLE),
        ("post", "/predict", {"area": "x"}),
        ("post", "/predict", None),
        ("post", "/predict/batch", [NAMES_EXAMPLE, RAW_ROW]),
        ("post", "/predict/batch", []),
        ("get", "/model", None),
        ("get", "/health", None),
        ("get", "/livez", None),
        ("get", "/readyz", None),
        ("get", "/v2", None),
        ("get", "/v2/health/live", None),
        ("get", "/v2/health/ready", None),
        ("get", "/v2/models/crimeguard", None),
        ("get", "/v2/models/crimeguard/ready", None),
        ("post", INFER, {"id": "1", **TENSORS}),
        ("post", INFER, {}),
        ("post", INFER, None),
    ],
)
def test_answers_are_as_described(
    document: dict[str, Any], client: Client, method: str, path: str, body: Any
) -> None:
    answer = client.request(method.upper(), path, **({} if body is None else {"json": body}))
    described = document["paths"][path][method]["responses"][str(answer.status_code)]["content"]
    schema = described[answer.headers["content-type"]]["schema"]
    check(answer.json(), schema, document)


def test_no_operation_hides_how_it_fails(document: dict[str, Any]) -> None:
    for item in document["paths"].values():
        for operation in item.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert list(response["content"]) == ["application/problem+json"]
            assert "500" in operation["responses"]


@pytest.mark.parametrize(
    "tensor", [{}, {"name": 1}, {"shape": "1"}, {"datatype": "TEXT"}, {"data": {}}, {"extra": 1}]
)
def test_what_the_schema_of_tensors_refuses_the_api_refuses(
    document: dict[str, Any], client: Client, tensor: dict[str, Any]
) -> None:
    good = INFER_BODY["content"]["application/json"]["examples"]["incident"]["value"]["inputs"][0]
    body = {"inputs": [{**good, **tensor} if tensor else {}]}
    check({"inputs": [good]}, ref("InferRequest"), document)
    with pytest.raises(jsonschema.ValidationError):
        check(body, ref("InferRequest"), document)
    assert client.post(INFER, json=body).status_code == 400
