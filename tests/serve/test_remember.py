from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest
from fastapi import FastAPI
from sqlalchemy import Connection

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.incident import INCIDENT_FIELDS
from crimeguard.records.database import Database
from crimeguard.records.prediction_log import PredictionLog
from crimeguard.records.window import Window, read_window
from crimeguard.serve import chunks, keeping
from crimeguard.serve.app import create_app
from crimeguard.serve.openapi import CALL_EXAMPLE, HEADINGS_EXAMPLE, NAMES_EXAMPLE
from crimeguard.serve.slot import Slot
from crimeguard.settings import Settings
from tests.serve.fakes import Client
from tests.serve.test_incident import RAW_ROW
from tests.serve.test_metrics import samples
from tests.serve.test_routes_batch import FILES
from tests.serve.test_routes_predict import CSV, JSON, problem_of


@pytest.fixture
def logging_app(settings: Settings, slot: Slot, database: Database) -> Iterator[FastAPI]:
    with PredictionLog(database) as log:
        app = create_app(settings, slot, log=log)
        yield app
        app.state.service.close()


@pytest.fixture
def asking(logging_app: FastAPI) -> Client:
    return Client(logging_app)


def inputs(database: Database) -> list[str]:
    with database.reading() as connection:
        rows = connection.exec_driver_sql("SELECT input FROM prediction ORDER BY id")
        return [row[0] for row in rows]


@pytest.mark.parametrize("body", [HEADINGS_EXAMPLE, NAMES_EXAMPLE, RAW_ROW, CALL_EXAMPLE])
def test_an_answer_is_in_the_log_as_it_was_asked(
    asking: Client, database: Database, body: dict[str, Any]
) -> None:
    answer = asking.post("/predict", json=body).json()
    assert json.loads(inputs(database)[0]) == body
    window = read_window(database)
    assert window.ids.to_list() == [answer["prediction_id"]]
    assert window.category.to_list() == [answer["prediction"]]
    assert window.probabilities[0].tolist() == [answer["probabilities"][c] for c in CATEGORIES]
    assert window.bundle.to_list() == [answer["model_info"]["sha256"]]
    assert ["call", "victim", "report"][window.level[0]] == answer["information_level"]
    assert window.frame["dr_no"][0] == body.get("DR_NO")


def test_what_was_sent_is_kept_word_for_word_but_for_blanks(
    asking: Client, database: Database
) -> None:
    body = '{ "DATE OCC" : "01/02/2023",\n "AREA": 12.0, "LOCATION": "caf\\u00e9\\u2028 \\"x\\"" }'
    assert asking.post("/predict", content=body.encode(), headers=JSON).status_code == 200
    assert inputs(database) == [
        '{"DATE OCC":"01/02/2023","AREA":12.0,"LOCATION":"café\u2028 \\"x\\""}'
    ]


def test_no_place_is_in_the_log_that_is_finer_than_published(
    asking: Client, database: Database
) -> None:
    fine = {"DATE OCC": "03/10/2023", "AREA": "12", "LOCATION": "1432 N MAIN ST APT 5",
            "Cross Street": "77 2ND ST", "LAT": "34.052234", "LON": "-118.243683"}  # fmt: skip
    table = ",".join(fine) + "\n" + ",".join(fine.values()) + "\n"
    tensor = {"name": "incident", "shape": [1], "datatype": "BYTES", "data": [json.dumps(fine)]}
    answers = [
        asking.post("/predict", json=fine),
        asking.post("/predict", json={**fine, "LAT": 34.052234, "LON": -118.243683}),
        asking.post("/predict/batch", json=[fine]),
        asking.post("/predict/batch", content=table, headers={"Content-Type": "text/csv"}),
        asking.post("/v2/models/crimeguard/infer", json={"inputs": [tensor]}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 5
    logged = inputs(database)
    assert len(logged) == 5
    for text in logged:
        assert "1400 N MAIN ST" in text
        assert "00 2ND ST" in text
        assert "34.0522" in text
        for finer in ("1432", "APT", "77", "34.05223", "118.24368"):
            assert finer not in text


def test_a_list_is_in_the_log_as_it_was_asked(asking: Client, database: Database) -> None:
    records = [{**NAMES_EXAMPLE, "area": area, "dr_no": f"{area}.0"} for area in range(1, 22)]
    answer = asking.post("/predict/batch", json=records).json()
    window = read_window(database)
    assert [json.loads(text) for text in inputs(database)] == records
    assert window.ids.to_list() == [row["prediction_id"] for row in answer["predictions"]]
    assert window.category.to_list() == [row["prediction"] for row in answer["predictions"]]
    # As the portal writes it, so that its own files can tell what was true.
    assert window.frame["dr_no"].to_list() == [str(area) for area in range(1, 22)]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("accept", ["application/json", "text/csv"])
def test_a_file_is_in_the_log_as_it_was_read(
    asking: Client, database: Database, name: str, accept: str
) -> None:
    kind, content = FILES[name]
    answer = asking.post(
        "/predict/batch", content=content, headers={"Content-Type": kind, "Accept": accept}
    )
    assert answer.status_code == 200
    (kept,) = inputs(database)
    assert json.loads(kept)["date_occ"] == "2023-03-10"
    assert json.loads(kept)["mocodes"] == [344, 416, 1822]
    assert len(read_window(database)) == 1


def test_a_long_file_is_in_the_log_row_by_row(
    asking: Client, database: Database, exported: pl.DataFrame, incidents: pl.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(chunks, "ROWS", 300)
    monkeypatch.setattr(chunks, "_FEW", 100)
    rows = exported.head(1_000).with_columns(LOCATION=pl.lit("A\u2028B"))
    answer = asking.post("/predict/batch?level=victim", files={"file": ("x.csv", rows.write_csv())})
    assert answer.status_code == 200
    window = read_window(database)
    same = incidents.head(1_000).with_columns(location=pl.lit("A B"))
    assert window.frame.equals(same.select("dr_no", *INCIDENT_FIELDS))
    assert set(window.level.tolist()) == {1}
    answered = {row["prediction_id"]: row for row in answer.json()["predictions"]}
    assert window.category.to_list() == [answered[name]["prediction"] for name in window.ids]
    assert window.frame["dr_no"].to_list() == [answered[name]["DR_NO"] for name in window.ids]


def test_incidents_in_tensors_are_in_the_log_as_they_were_put_together(
    asking: Client, database: Database
) -> None:
    texts = [json.dumps({"DR_NO": "7", "date_occ": "2023-03-10"}), '{"date_occ": "2023-03-11"}']
    tensors = [
        {"name": "incident", "datatype": "BYTES", "shape": [2], "data": texts},
        {"name": "AREA", "datatype": "INT64", "shape": [2], "data": [3, 4]},
    ]
    answer = asking.post("/v2/models/crimeguard/infer", json={"inputs": tensors}).json()
    (ids,) = (item["data"] for item in answer["outputs"] if item["name"] == "prediction_id")
    with database.reading() as connection:
        rows = connection.exec_driver_sql("SELECT id, dr_no, input FROM prediction ORDER BY input")
        found = [(row[0], row[1], json.loads(row[2])) for row in rows]
    assert found == [
        (ids[0], "7", {"DR_NO": "7", "date_occ": "2023-03-10", "AREA": 3}),
        (ids[1], None, {"date_occ": "2023-03-11", "AREA": 4}),
    ]


def test_what_is_refused_is_not_in_the_log(asking: Client, database: Database) -> None:
    assert asking.post("/predict", json={"area": 1}).status_code == 422
    assert asking.post("/predict/batch", json=[NAMES_EXAMPLE, {}]).status_code == 422
    broken = CSV + CSV.splitlines()[1].replace("2130", "9999") + "\n"
    assert asking.post("/predict/batch", files={"file": ("x.csv", broken)}).status_code == 422
    assert inputs(database) == []


def test_a_hostile_number_of_a_row_harms_nobody(asking: Client, database: Database) -> None:
    for number in ("a\0b", "x" * 500, 10**30, "\u2028", ["1"], {"a": 1}, True, ""):
        answer = asking.post("/predict", json={**NAMES_EXAMPLE, "dr_no": number})
        assert answer.status_code == 200, number
    assert len(read_window(database)) == 8


def test_the_log_is_counted(asking: Client) -> None:
    asking.post("/predict", json=NAMES_EXAMPLE)
    asking.post("/predict/batch", json=[NAMES_EXAMPLE] * 4)
    found = samples(asking)
    assert found["crimeguard_log_rows_total",] == 5
    assert found["crimeguard_log_commit_seconds_count",] == 2
    assert found["crimeguard_log_failures_total",] == 0


class Away(Database):
    """Fails, or hangs, when it is told to."""

    state = "there"
    let = threading.Event()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        if self.state == "hangs":
            assert self.let.wait(20)
        with super().transaction() as connection:
            if self.state == "away":
                connection.exec_driver_sql("INSERT INTO nowhere VALUES (1)")
            yield connection

    def alone(self, statement: str, values: Sequence[object]) -> None:
        if self.state == "hangs":
            assert self.let.wait(20)
        if self.state == "away":
            super().alone("INSERT INTO nowhere VALUES (1)", ())
        super().alone(statement, values)


@pytest.fixture
def away(settings: Settings, slot: Slot, tmp_path: Path) -> Iterator[tuple[Away, Client]]:
    database = Away(f"sqlite:///{tmp_path}/away.db")
    database.let.clear()
    database.migrate()
    with PredictionLog(database) as log:
        app = create_app(settings, slot, log=log)
        yield database, Client(app)
        database.let.set()
        app.state.service.close()
    database.close()


REQUESTS: dict[str, Callable[[Client], httpx.Response]] = {
    "single": lambda client: client.post("/predict", json=NAMES_EXAMPLE),
    "list": lambda client: client.post("/predict/batch", json=[NAMES_EXAMPLE] * 3),
    "file": lambda client: client.post("/predict/batch", files={"file": ("x.csv", CSV)}),
    "table": lambda client: client.post(
        "/predict/batch", files={"file": ("x.csv", CSV)}, headers={"Accept": "text/csv"}
    ),
}


@pytest.mark.parametrize("kind", REQUESTS)
def test_without_the_log_nothing_is_answered(away: tuple[Away, Client], kind: str) -> None:
    database, client = away
    database.state = "away"
    answer = REQUESTS[kind](client)
    problem_of(answer, 503, "no-log")
    assert int(answer.headers["Retry-After"]) > 0
    assert "prediction_id" not in answer.text
    assert samples(client)["crimeguard_log_failures_total",] == 1
    total = "crimeguard_predictions_total"
    counted = [number for name, number in samples(client).items() if name[0] == total]
    assert counted
    assert not any(counted)
    assert client.get("/livez").status_code == 200
    database.state = "there"
    assert REQUESTS[kind](client).status_code == 200


def test_a_log_that_hangs_holds_nobody_for_good(
    away: tuple[Away, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_PATIENCE", 0.2)
    database, client = away
    database.state = "hangs"
    problem_of(REQUESTS["list"](client), 503, "no-log")
    database.state = "there"
    database.let.set()
    monkeypatch.undo()
    assert REQUESTS["list"](client).status_code == 200


def test_the_loop_goes_on_while_the_log_is_written(away: tuple[Away, Client]) -> None:
    database, client = away
    database.state = "hangs"

    async def probe() -> tuple[float, int]:
        transport = httpx.ASGITransport(client.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as asks:
            pending = [
                asyncio.create_task(asks.post("/predict", json=NAMES_EXAMPLE)),
                asyncio.create_task(asks.post("/predict/batch", json=[NAMES_EXAMPLE] * 3)),
            ]
            await asyncio.sleep(0.2)
            began = time.perf_counter()
            assert (await asks.get("/livez")).status_code == 200
            seconds = time.perf_counter() - began
            assert not any(task.done() for task in pending)
            database.let.set()
            return seconds, sum(answer.status_code for answer in await asyncio.gather(*pending))

    seconds, statuses = asyncio.run(probe())
    assert statuses == 400
    assert seconds < 1


def test_a_window_of_answers_is_what_the_model_said(asking: Client, database: Database) -> None:
    records = [{**NAMES_EXAMPLE, "area": area} for area in (1, 5, 9)]
    table = asking.post("/predict/batch", json=records, headers={"Accept": "text/csv"})
    shares = pl.read_csv(io.BytesIO(table.content)).select(f"p_{name}" for name in CATEGORIES)
    window: Window = read_window(database)
    assert np.array_equal(window.probabilities, shares.to_numpy())
