from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.records.database import Database
from crimeguard.records.prediction_log import PredictionLog
from crimeguard.records.window import read_window
from crimeguard.serve.answers import LabelsAnswer, ProblemAnswer
from crimeguard.serve.app import create_app
from crimeguard.serve.openapi import NAMES_EXAMPLE
from crimeguard.serve.slot import Slot
from crimeguard.settings import Settings
from tests.records.test_labels import stored
from tests.serve.fakes import Client
from tests.serve.test_openapi import check, ref
from tests.serve.test_routes_predict import JSON, problem_of

NOWHERE = "0" * 32


@pytest.fixture
def asking(settings: Settings, slot: Slot, database: Database) -> Iterator[Client]:
    with PredictionLog(database) as log:
        app = create_app(settings, slot, log=log)
        yield Client(app)
        app.state.service.close()


def predicted(client: Client, number: int) -> list[str]:
    answer = client.post("/predict/batch", json=[NAMES_EXAMPLE] * number).json()
    return [row["prediction_id"] for row in answer["predictions"]]


def as_described(client: Client, answer: httpx.Response) -> httpx.Response:
    """Hold an answer to what the OpenAPI document says of it."""
    document = client.get("/openapi.json").json()
    described = document["paths"]["/labels"]["post"]["responses"][str(answer.status_code)]
    schema = described["content"][answer.headers["content-type"]]["schema"]
    check(answer.json(), schema, document)
    return answer


@pytest.mark.parametrize(
    ("label", "category", "code"),
    [
        ({"category": "robbery"}, "robbery", None),
        ({"crm_cd": 210}, "robbery", 210),
        ({"category": "theft", "crm_cd": 341}, "theft", 341),
        ({"category": "theft", "crm_cd": None}, "theft", None),
    ],
)
def test_one_label_is_stored(
    asking: Client, database: Database, label: dict[str, Any], category: str, code: int | None
) -> None:
    (identifier,) = predicted(asking, 1)
    body = {"prediction_id": identifier, **label}
    answer = as_described(asking, asking.post("/labels", json=body))
    assert answer.status_code == 200
    assert LabelsAnswer.model_validate_json(answer.text) == LabelsAnswer(accepted=1, unchanged=0)
    window = read_window(database)
    assert window.label.tolist() == [CATEGORIES.index(category)]
    assert window.label_code.to_list() == [code]
    assert asking.post("/labels", json=body).json() == {"accepted": 0, "unchanged": 1}


def test_many_labels_are_stored(asking: Client, database: Database) -> None:
    ids = predicted(asking, 50)
    body = [{"prediction_id": name, "crm_cd": 510} for name in ids]
    assert asking.post("/labels", json=body).json() == {"accepted": 50, "unchanged": 0}
    assert read_window(database).labelled.all()


def refusals(identifier: str) -> dict[str, tuple[Any, int, str, list[str]]]:
    good = {"prediction_id": identifier, "category": "theft"}
    return {
        "nothing": ([], 422, "bad-label", [""]),
        "too many": ([1] * 10_001, 422, "bad-label", [""]),
        "no object": ([good, 1], 422, "bad-label", ["/1"]),
        "null": (None, 422, "bad-label", [""]),
        "no identifier": ({"category": "theft"}, 422, "bad-label", ["/prediction_id"]),
        "a short one": ({**good, "prediction_id": "1"}, 422, "bad-label", ["/prediction_id"]),
        "no label": ({"prediction_id": identifier}, 422, "bad-label", ["/category"]),
        "unknown category": ({**good, "category": "x"}, 422, "bad-label", ["/category"]),
        "a number": ({**good, "category": 1}, 422, "bad-label", ["/category"]),
        "unknown code": ({**good, "crm_cd": 1}, 422, "bad-label", ["/crm_cd"]),
        "a huge code": ({**good, "crm_cd": 10**30}, 422, "bad-label", ["/crm_cd"]),
        "a code as text": ({**good, "crm_cd": "341"}, 422, "bad-label", ["/crm_cd"]),
        "true": ({**good, "crm_cd": True}, 422, "bad-label", ["/crm_cd"]),
        "a contradiction": ({**good, "crm_cd": 210}, 422, "bad-label", ["/crm_cd"]),
        "another field": ({**good, "a/b": 1}, 422, "bad-label", ["/a~1b"]),
        "several": (
            [good, {"category": "x"}, {**good, "crm_cd": 1}], 422, "bad-label",
            ["/1/prediction_id", "/2/crm_cd"],
        ),
        "not in the log": (
            {**good, "prediction_id": NOWHERE}, 404, "unknown-prediction", ["/prediction_id"]
        ),
        "one not in the log": (
            [good, {**good, "prediction_id": NOWHERE}], 404, "unknown-prediction",
            ["/1/prediction_id"],
        ),
    }  # fmt: skip


@pytest.mark.parametrize("case", refusals(""))
def test_other_labels_are_refused_and_nothing_is_stored(
    asking: Client, database: Database, case: str
) -> None:
    (identifier,) = predicted(asking, 1)
    body, status, slug, pointers = refusals(identifier)[case]
    content = json.dumps(body).encode()
    answer = as_described(asking, asking.post("/labels", content=content, headers=JSON))
    document: ProblemAnswer = problem_of(answer, status, slug)
    assert [error.pointer for error in document.errors] == pointers
    assert stored(database) == 0


@pytest.mark.parametrize(
    ("content", "headers", "status", "slug"),
    [
        (b"", JSON, 400, "not-json"),
        (b'{"prediction_id": NaN}', JSON, 400, "not-json"),
        (b"{}", {"Content-Type": "text/csv"}, 415, "wrong-media-type"),
        (b" " * 200_001, JSON, 413, "too-large"),
    ],
)
def test_other_bodies_are_refused(
    asking: Client, content: bytes, headers: dict[str, str], status: int, slug: str
) -> None:
    problem_of(asking.post("/labels", content=content, headers=headers), status, slug)


def test_without_a_log_there_is_nothing_to_label(client: Client) -> None:
    answer = client.post("/labels", json={"prediction_id": NOWHERE, "category": "theft"})
    problem_of(answer, 503, "no-log")
    assert int(answer.headers["Retry-After"]) > 0


def test_a_log_that_cannot_be_used_takes_no_label(asking: Client, database: Database) -> None:
    (identifier,) = predicted(asking, 1)
    with database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE label RENAME TO away")
    body = {"prediction_id": identifier, "category": "theft"}
    problem_of(asking.post("/labels", json=body), 503, "no-log")
    with database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO label")
    assert asking.post("/labels", json=body).status_code == 200


def test_the_examples_have_the_described_shape(asking: Client) -> None:
    document = asking.get("/openapi.json").json()
    content = document["paths"]["/labels"]["post"]["requestBody"]["content"]["application/json"]
    for example in content["examples"].values():
        check(example["value"], content["schema"], document)
        assert asking.post("/labels", json=example["value"]).status_code == 404
    check({"prediction_id": NOWHERE, "category": None, "crm_cd": 210}, ref("Label"), document)


def test_labels_are_counted(asking: Client) -> None:
    labels = [{"prediction_id": item, "category": "theft"} for item in predicted(asking, 3)]
    for sent in (labels[:2], labels):
        assert asking.post("/labels", json=sent).status_code == 200
    asking.post("/labels", json={"prediction_id": NOWHERE, "category": "theft"})
    text = asking.get("/metrics").text
    assert 'crimeguard_labels_total{outcome="accepted"} 3.0' in text
    assert 'crimeguard_labels_total{outcome="unchanged"} 2.0' in text
