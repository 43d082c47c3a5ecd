from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crimeguard.domain.errors import UsageError
from crimeguard.domain.incident import Incident
from crimeguard.domain.prediction import Prediction
from crimeguard.features.columns import Columns, Floats
from crimeguard.serve import logs
from crimeguard.serve.app import create_app
from crimeguard.serve.keys import Scope, make_key
from crimeguard.serve.logs import JsonLines, Requests, TextLines
from crimeguard.serve.openapi import NAMES_EXAMPLE
from crimeguard.serve.slot import Slot
from crimeguard.settings import Settings
from tests.serve.fakes import Client, FakePredictor

FORMATTERS = [TextLines(), JsonLines()]
SECRET, KEY = make_key("console", [Scope.PREDICT])
MARK = "MARKMARK"  # stands in every place that a caller can write to
STATE = {"request_id": "r1"}


class Written:
    """What the root logger writes in one of the formats."""

    def __init__(self, formatter: logging.Formatter) -> None:
        self._stream = io.StringIO()
        self._handler = logging.StreamHandler(self._stream)
        self._handler.setFormatter(formatter)
        # The client of the tests runs in the same process.
        self._handler.addFilter(lambda record: not record.name.startswith("http"))

    def __enter__(self) -> Written:
        self._root = logging.getLogger()
        self._level = self._root.level
        self._root.addHandler(self._handler)
        self._root.setLevel(logging.DEBUG)
        return self

    def __exit__(self, *_: object) -> None:
        self._root.removeHandler(self._handler)
        self._root.setLevel(self._level)

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


class TellingPredictor(FakePredictor):
    """Fails in words that quote what was asked."""

    def predict(self, incidents: Sequence[Incident]) -> list[Prediction]:
        try:
            int(f"cannot read {incidents} {MARK}")
        except ValueError as error:
            raise RuntimeError(f"cannot score {incidents} {MARK}") from error
        return []

    def predict_columns(self, columns: Columns) -> Floats:
        raise RuntimeError(f"cannot score {columns} {MARK}")


@pytest.fixture(params=["text", "json"])
def written(request: pytest.FixtureRequest) -> Iterator[Written]:
    with Written(JsonLines() if request.param == "json" else TextLines()) as written:
        yield written


def record(message: str, *arguments: object, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("crimeguard.it", logging.INFO, "it.py", 1, message, arguments, None)
    vars(made).update(more)
    return made


def test_a_line_of_text_says_when_who_and_what() -> None:
    made = record("serving %s", "7", created=1_700_000_000.1239, facts={"request_id": "r1"})
    assert TextLines().format(made) == (
        "2023-11-14T22:13:20.123Z INFO crimeguard.it: serving 7 request_id=r1"
    )


def test_a_line_of_json_says_the_same() -> None:
    made = record("serving %s", "7", created=1_700_000_000.1239, facts={"request_id": "r1"})
    assert json.loads(JsonLines().format(made)) == {
        "time": "2023-11-14T22:13:20.123Z", "level": "INFO", "logger": "crimeguard.it",
        "message": "serving 7", "request_id": "r1",
    }  # fmt: skip


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_no_message_makes_a_second_line(formatter: logging.Formatter) -> None:
    line = formatter.format(record("one\ntwo\r\n2026-01-01T00:00:00.000Z INFO it: forged"))
    assert len(line.splitlines()) == 1


def test_anything_can_stand_in_a_line_of_json() -> None:
    made = record("%s", Path("x"), facts={"path": Path("y"), "half": "\u00e9"})
    assert json.loads(JsonLines().format(made))["path"] == "y"


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_of_an_exception_kinds_and_places_are_written_and_no_words(
    formatter: logging.Formatter,
) -> None:
    def broken() -> None:
        try:
            dict[str, str]()[MARK]
        except KeyError as error:
            raise RuntimeError(f"no {MARK}") from error

    with pytest.raises(RuntimeError) as caught:
        broken()
    made = record("it failed")
    made.exc_info = (caught.type, caught.value, caught.tb)
    # Another handler may have put its own form there.
    made.exc_text = f"RuntimeError: {MARK}"
    said = formatter.format(made)
    assert MARK not in said
    assert "builtins.RuntimeError" in said
    assert "builtins.KeyError" in said
    assert f"{__file__}:" in said
    assert "in broken" in said


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_asyncio_shows_no_exception_that_nobody_fetched(formatter: logging.Formatter) -> None:
    made = record(f"Task exception was never retrieved\nfuture: <Task ValueError('{MARK}')>")
    made.name = "asyncio"
    said = formatter.format(made)
    assert "never retrieved" in said
    assert MARK not in said


def test_a_thread_that_fails_is_told_without_its_words(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError(MARK)

    monkeypatch.setattr(threading, "excepthook", logs._thread_failed)
    thread = threading.Thread(target=fail, name="t1")
    thread.start()
    thread.join()
    assert "the thread t1 failed" in written.text
    assert "RuntimeError" in written.text
    assert MARK not in written.text


def ask(client: Client) -> list[int]:
    """Send a mark in every place that there is, in requests that succeed and that do not."""
    key = {"X-API-Key": SECRET}
    marked = {**key, "User-Agent": MARK, "X-Else": MARK, "Referer": MARK, "Cookie": f"a={MARK}"}
    incident = {**NAMES_EXAMPLE, "LOCATION": f"143257 {MARK} ST", "Cross Street": MARK,
                "DR_NO": MARK, "Crm Cd Desc": MARK, "Status": MARK}  # fmt: skip
    form = {"file": (f"{MARK}.csv", f"DATE OCC,AREA\n{MARK},1\n", "text/csv")}
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/predict", {"json": incident}),
        ("POST", "/predict", {"json": {**incident, "DATE OCC": MARK}}),
        ("POST", "/predict", {"json": {MARK: MARK}}),
        ("POST", "/predict", {"content": f'{{"{MARK}'}),
        ("POST", "/predict", {"content": MARK, "headers": {"Content-Type": f"text/{MARK}"}}),
        ("POST", f"/predict?{MARK}={MARK}", {"json": incident}),
        ("POST", f"/predict/batch?level={MARK}", {"json": [incident]}),
        ("POST", "/predict/batch", {"json": [incident]}),
        ("POST", "/predict/batch", {"files": form}),
        ("POST", "/v2/models/crimeguard/infer", {"json": {"inputs": [{"name": MARK}]}}),
        ("GET", f"/v2/models/crimeguard/versions/{MARK}", {}),
        ("GET", f"/{MARK}", {}), (MARK, "/predict", {}),
        ("GET", "/model", {"headers": {"X-API-Key": f"cg_{MARK}"}}),
        ("GET", "/model", {"headers": {"X-API-Key": "", "Authorization": f"Bearer {MARK}"}}),
        ("POST", "/labels", {"json": {"prediction_id": MARK, "category": MARK}}),
        ("GET", "/livez", {"headers": {"X-Request-ID": f"{MARK} <is none>"}}),
    ]  # fmt: skip
    statuses = []
    for method, path, options in calls:
        json_type = {"Content-Type": "application/json"} if "content" in options else {}
        headers = {**marked, **json_type, **options.pop("headers", {})}
        statuses.append(client.request(method, path, headers=headers, **options).status_code)
    return statuses


@pytest.mark.parametrize("predictor", [FakePredictor, TellingPredictor])
def test_nothing_that_a_caller_sends_is_in_the_log(
    settings: Settings, written: Written, monkeypatch: pytest.MonkeyPatch,
    predictor: type[FakePredictor],
) -> None:  # fmt: skip
    # Every request is told, however fast.
    monkeypatch.setattr(logs, "SLOW_SECONDS", 0.0)
    app = create_app(replace(settings, api_keys=KEY.entry()), Slot(predictor()))
    statuses = ask(Client(app))
    app.state.service.close()
    assert {400, 401, 403, 404, 405, 415, 422} <= set(statuses)
    assert (500 if predictor is TellingPredictor else 200) in statuses
    lines = written.text.splitlines()
    assert len([line for line in lines if "request answered" in line]) == len(statuses)
    assert "key=console" in written.text or '"key":"console"' in written.text
    for mark in (MARK, MARK.lower(), SECRET, SECRET[3:20], "143257", "127.0.0.1"):
        assert mark not in written.text


def told(**options: Any) -> list[dict[str, Any]]:
    with Written(JsonLines()) as written:
        Requests().tell(STATE, **{"route": "/predict", "method": "POST", **options})
        return written.documents


def test_requests_that_go_well_have_no_line_and_others_have() -> None:
    assert told(status=200, seconds=0.9) == []
    for status, level in ((401, "INFO"), (422, "INFO"), (499, "INFO"), (503, "WARNING")):
        (line,) = told(status=status, seconds=0.001_234_56)
        del line["time"]
        assert line == {
            "level": level, "logger": "crimeguard.serve.logs", "message": "request answered",
            "request_id": "r1", "route": "/predict", "method": "POST", "status": status,
            "seconds": 0.001235,
        }  # fmt: skip
    (slow,) = told(status=200, seconds=1.5)
    assert (slow["level"], slow["seconds"]) == ("INFO", 1.5)


def test_a_crowd_of_refusals_is_told_in_few_lines_and_hides_no_fault() -> None:
    now = [0.0]
    requests = Requests(clock=lambda: now[0])
    facts: dict[str, Any] = {"route": "/predict", "method": "POST", "seconds": 0.0}
    with Written(JsonLines()) as written:
        for _ in range(1_000):
            requests.tell(STATE, status=401, **facts)
        requests.tell(STATE, status=500, **facts)
        now[0] += 1.0
        requests.tell(STATE, status=401, **facts)
        requests.tell(STATE, status=401, **facts)
    lines = written.documents
    assert [line["status"] for line in lines] == [401] * 50 + [500, 401, 401]
    assert [line.get("left_out") for line in lines][-3:] == [None, 950, None]


def test_another_format_is_refused() -> None:
    with pytest.raises(UsageError, match="CRIMEGUARD_LOG_FORMAT is 'xml'"):
        logs.configure("xml")


_PROGRAM = """
import logging, threading, warnings
from crimeguard.serve import logs
logs.configure("json")
logs.configure("json")
logging.getLogger("it").info("hello")
warnings.warn("old")
def fail():
    raise RuntimeError("MARKMARK")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
for _ in range(500):
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
logging.getLogger("uvicorn.error").error("worse")
"""


def test_a_process_writes_json_and_nothing_else() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", _PROGRAM], capture_output=True, text=True,
        timeout=60, check=True, env=dict(os.environ),
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    messages = [line["message"] for line in lines]
    assert messages[0] == "hello"
    assert "UserWarning: old" in messages[1]
    assert lines[2]["exception"][0] == "builtins.RuntimeError"
    assert "MARKMARK" not in done.stderr
    # Whatever strangers send, there are few lines of it.
    assert 50 <= messages.count("Invalid HTTP request received.") < 100
    assert messages[-1] == "worse"
