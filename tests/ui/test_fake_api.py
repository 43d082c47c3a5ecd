"""The stand-in must speak as the real API does, or the other tests here prove nothing."""

import httpx
import pytest

from crimeguard.domain.field import EXPORT_COLUMNS
from crimeguard.serve import answers
from tests.ui.fake_api import FakeApi


@pytest.fixture
def http(fake_api: FakeApi) -> httpx.Client:
    return httpx.Client(base_url=fake_api.url, trust_env=False)


def test_it_answers_in_the_forms_of_the_real_one(http: httpx.Client) -> None:
    with http:
        answers.HealthAnswer.model_validate(http.get("/health").json())
        answers.CardAnswer.model_validate(http.get("/model").json())
        record = {"date_occ": "2023-01-01", "area": 1}
        answers.PredictionAnswer.model_validate(http.post("/predict", json=record).json())
        rows = f"{','.join(EXPORT_COLUMNS)}\n{','.join(['01/02/2023'] * 28)}\n"
        answer = http.post("/predict/batch", files={"file": ("a.csv", rows.encode())})
        answers.BatchAnswer.model_validate(answer.json())


def test_it_refuses_in_the_form_of_the_real_one(http: httpx.Client) -> None:
    with http:
        answer = http.post("/predict/batch", files={"file": ("a.csv", b"DATE OCC\nsoon\n")})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    (flaw,) = answers.ProblemAnswer.model_validate(answer.json()).errors
    assert (flaw.row, flaw.column, flaw.pointer) == (1, "DATE OCC", "/0/DATE OCC")
