from __future__ import annotations

import gzip
import io
import json

import polars as pl
import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.serve.answers import BatchAnswer
from crimeguard.serve.openapi import HEADINGS_EXAMPLE, NAMES_EXAMPLE
from tests.serve.fakes import Client
from tests.serve.test_routes_predict import CSV, JSON, problem_of

PARQUET = "application/vnd.apache.parquet"
ARROW = "application/vnd.apache.arrow.stream"


def test_a_list_is_answered_in_order(client: Client) -> None:
    records = [{**NAMES_EXAMPLE, "area": area, "dr_no": area} for area in range(1, 22)]
    answer = client.post("/predict/batch", json=records)
    document = BatchAnswer.model_validate_json(answer.text)
    assert document.rows == 21
    assert [row.DR_NO for row in document.predictions] == [str(area) for area in range(1, 22)]
    alone = [client.post("/predict", json=record).json() for record in records]
    assert [row.prediction for row in document.predictions] == [one["prediction"] for one in alone]
    assert document.ignored_fields == ["dr_no"]


def parquet() -> bytes:
    buffer = io.BytesIO()
    pl.read_csv(CSV.encode(), infer_schema=False).write_parquet(buffer)
    return buffer.getvalue()


def arrow(*, stream: bool) -> bytes:
    buffer = io.BytesIO()
    table = pl.read_csv(CSV.encode(), infer_schema=False)
    (table.write_ipc_stream if stream else table.write_ipc)(buffer)
    return buffer.getvalue()


FILES = {
    "x.csv": ("text/csv", CSV.encode()),
    "x.csv.gz": ("application/gzip", gzip.compress(CSV.encode(), mtime=0)),
    "x.parquet": (PARQUET, parquet()),
    "x.arrow": ("application/vnd.apache.arrow.file", arrow(stream=False)),
    "x.arrows": (ARROW, arrow(stream=True)),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_answered_like_its_incident(client: Client, name: str) -> None:
    kind, content = FILES[name]
    alone = client.post("/predict", json=HEADINGS_EXAMPLE).json()
    as_form = client.post("/predict/batch", files={"file": (name, content)})
    as_body = client.post("/predict/batch", content=content, headers={"Content-Type": kind})
    for answer in (as_form, as_body):
        (row,) = BatchAnswer.model_validate_json(answer.text).predictions
        assert row.prediction == alone["prediction"]
        assert row.probabilities == alone["probabilities"]


TABLES = {
    "text/csv": lambda content: pl.read_csv(content, schema_overrides={"DR_NO": pl.String}),
    PARQUET: lambda content: pl.read_parquet(io.BytesIO(content)),
    ARROW: lambda content: pl.read_ipc_stream(io.BytesIO(content)),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_is_answered_where_a_table_is_asked_for(client: Client, kind: str) -> None:
    records = [{**NAMES_EXAMPLE, "area": area, "dr_no": area} for area in range(1, 22)]
    rows = client.post("/predict/batch?level=call", json=records).json()["predictions"]
    answer = client.post(
        "/predict/batch?level=call", json=records, headers={"Accept": f"{kind}, */*;q=0.1"}
    )
    assert answer.headers["content-type"].partition(";")[0] == kind
    table = TABLES[kind](answer.content)
    assert table.columns == [
        "DR_NO", "prediction_id", "prediction", "confidence", "prediction_set",
        "information_level", *(f"p_{name}" for name in CATEGORIES),
    ]  # fmt: skip
    for name in ("DR_NO", "prediction", "confidence", "information_level"):
        assert table[name].to_list() == [row[name] for row in rows]
    for name in CATEGORIES:
        assert table[f"p_{name}"].to_list() == [row["probabilities"][name] for row in rows]
    sets = [row["prediction_set"] for row in rows]
    written = [" ".join(names) for names in sets] if kind == "text/csv" else sets
    assert table["prediction_set"].to_list() == written
    assert table["prediction_id"].n_unique() == 21


def test_no_answer_is_given_in_a_form_that_is_not_known(client: Client) -> None:
    for accept in ("text/html", "application/json;q=0", "image/*"):
        answer = client.post("/predict/batch", json=[NAMES_EXAMPLE], headers={"Accept": accept})
        document = problem_of(answer, 406, "not-acceptable")
        assert ARROW in document.detail


BAD_FILES = {
    "empty": ("x.csv", b"", 422, "bad-file"),
    "truncated gzip": ("x.csv.gz", gzip.compress(CSV.encode(), mtime=0)[:-10], 422, "bad-file"),
    "truncated parquet": ("x.parquet", parquet()[:-30], 422, "bad-file"),
    "truncated arrow": ("x.arrow", arrow(stream=False)[:-30], 422, "bad-file"),
    "truncated stream": ("x.arrows", arrow(stream=True)[:-300], 422, "bad-file"),
    "wrong columns": ("x.csv", b"a,b\n1,2\n", 422, "bad-file"),
    "unknown kind": ("x.xlsx", b"PK", 415, "wrong-media-type"),
    "too large": ("x.csv", b"x" * 400_001, 413, "too-large"),
    "too many rows": (
        "x.csv",
        ("DATE OCC,AREA\n" + "01/01/2023,1\n" * 1_001).encode(),
        413,
        "too-large",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_refused(client: Client, case: str) -> None:
    name, content, status, slug = BAD_FILES[case]
    problem_of(client.post("/predict/batch", files={"file": (name, content)}), status, slug)


def test_a_bad_value_in_a_file_is_named_with_row_and_column(client: Client) -> None:
    broken = CSV + CSV.splitlines()[1].replace("2130", "9999") + "\n"
    answer = client.post("/predict/batch", files={"file": ("x.csv", broken)})
    (error,) = problem_of(answer, 422, "bad-file").errors
    assert (error.row, error.column, error.pointer) == (2, "TIME OCC", "/1/TIME OCC")


BOUNDARY = "multipart/form-data; boundary=x"
NO_FILE = b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\ntext\r\n--x--\r\n'
OTHER_FIELD = NO_FILE.replace(b'name="file"', b'name="other"; filename="a.csv"')


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "multipart/form-data"),
        (b"rubbish", BOUNDARY),
        (NO_FILE, BOUNDARY),
        (OTHER_FIELD, BOUNDARY),
    ],
)
def test_bad_forms_are_refused(client: Client, body: bytes, kind: str) -> None:
    answer = client.post("/predict/batch", content=body, headers={"Content-Type": kind})
    problem_of(answer, 400, "bad-form")


def test_two_files_are_one_too_many(client: Client) -> None:
    files = [("file", ("a.csv", CSV)), ("file", ("b.csv", CSV))]
    problem_of(client.post("/predict/batch", files=files), 400, "bad-form")


def test_an_unknown_level_is_refused(client: Client) -> None:
    answer = client.post("/predict/batch?level=all", json=[NAMES_EXAMPLE])
    problem_of(answer, 422, "bad-query")


def test_too_long_a_list_is_refused(client: Client) -> None:
    body = json.dumps([{}] * 10_001).encode()
    problem_of(client.post("/predict/batch", content=body, headers=JSON), 422, "bad-incident")
