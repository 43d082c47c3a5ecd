"""The express way and the long way answer the same, over real connections."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import pytest

from crimeguard.records.database import Database, open_database
from crimeguard.records.prediction_log import PredictionLog
from crimeguard.records.window import read_window
from crimeguard.serve.app import create_app
from crimeguard.serve.express import Express
from crimeguard.serve.keys import Scope, make_key
from crimeguard.serve.leaving import LeavingServer, configured
from crimeguard.serve.openapi import HEADINGS_EXAMPLE, NAMES_EXAMPLE
from crimeguard.serve.server import address_of, bind
from crimeguard.serve.service import Service
from crimeguard.serve.slot import Slot
from crimeguard.settings import Settings
from tests.serve.fakes import BrokenPredictor, FakePredictor
from tests.serve.test_attacks import Answer, answers
from tests.serve.test_metrics import samples

WAYS: Final = ("express", "long")
GOOD: Final = json.dumps(NAMES_EXAMPLE).encode()
SECRET, KEY = make_key("asks", [Scope.PREDICT])
OTHER, NARROW = make_key("labels", [Scope.LABEL])
# Not the same twice, or of the one request alone.
OWN: Final = ("date", "x-request-id")


class Running:
    """The API in a thread, with its log; `expressed` counts what went the express way."""

    def __init__(self, settings: Settings, slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
        self.database: Database = open_database(settings)
        self.log = PredictionLog(self.database)
        self.log.start()
        app = create_app(settings, slot, log=self.log)
        self.service: Service = app.state.service
        self._listener = bind("127.0.0.1", 0)
        self.address = address_of(self._listener)
        self.server = LeavingServer(configured(app, settings), self.service)
        self.expressed = 0
        take = Express.take

        def counted(*arguments: Any) -> None:
            self.expressed += 1
            take(*arguments)

        monkeypatch.setattr(Express, "take", counted)
        self._thread = threading.Thread(
            target=self.server.run, kwargs={"sockets": [self._listener]}
        )
        self._thread.start()

    def close(self) -> None:
        self.server.should_exit = True
        self._thread.join(timeout=30)
        self._listener.close()
        self.log.close()
        self.database.close()

    def connect(self) -> socket.socket:
        url = urlsplit(self.address)
        return socket.create_connection((url.hostname, url.port), 30)

    def ask(self, body: bytes, *fields: str, way: str) -> Answer:
        """Send a request, whole or its body after its header, and return its answer."""
        lines = ["POST /predict HTTP/1.1", f"Content-Length: {len(body)}"]
        lines += fields if any(f.startswith("Host:") for f in fields) else ["Host: x", *fields]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        before = self.expressed
        with contextlib.closing(self.connect()) as client:
            if way == "express":
                client.sendall(head + body)
            else:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.sendall(head)
                time.sleep(0.05)
                client.sendall(body)
            answer = self._receive(client)
        # A header without a body is whole at once.
        assert self.expressed - before == (way == "express" or not body)
        answer.check()
        return answer

    def _receive(self, client: socket.socket) -> Answer:
        received = b""
        while True:
            received += client.recv(65_536)
            head, _, body = received.partition(b"\r\n\r\n")
            if b"ength: " not in head:
                continue
            size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            if len(body) >= size:
                return answers(received)[0]


Starts = Callable[..., Running]


@pytest.fixture
def start(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Starts]:
    started: list[Running] = []

    def begin(slot: Slot, **changed: Any) -> Running:
        started.append(Running(replace(settings, **changed), slot, monkeypatch))
        return started[-1]

    yield begin
    for running in started:
        running.close()


def _comparable(answer: Answer) -> tuple[int, dict[str, str], dict[str, Any]]:
    document = json.loads(answer.body)
    for name in ("prediction_id", "request_id"):
        document.pop(name, None)
    headers = {name: text for name, text in answer.headers if name not in OWN}
    if "prediction_id" in answer.body.decode():
        headers.pop("content-length")  # digits of a number with 17 of them may differ
    return answer.status, headers, document


KIND: Final = "Content-Type: application/json"
REQUESTS: Final[dict[str, tuple[bytes, tuple[str, ...]]]] = {
    "names": (GOOD, (KIND,)),
    "headings": (json.dumps(HEADINGS_EXAMPLE).encode(), (KIND,)),
    "with a charset": (GOOD, (f"{KIND}; charset=utf-8",)),
    "escaped": (GOOD.replace(b"area", b"\\u0061rea"), (KIND,)),
    "named": (GOOD, (KIND, "X-Request-ID: one-of-mine")),
    "closing": (GOOD, (KIND, "Connection: close")),
    "no json": (b"{", (KIND,)),
    "twice": (b'{"area": 1, "area": 1}', (KIND,)),
    "nothing": (b"", (KIND,)),
    "no when": (b'{"area": 1}', (KIND,)),
    "unknown field": (b'{"aera": 1}', (KIND,)),
    "a list": (b"[]", (KIND,)),
    "no type": (GOOD, ()),
    "another type": (GOOD, ("Content-Type: text/csv",)),
    "packed": (GOOD, (KIND, "Content-Encoding: gzip")),
    "too long": (b" " * 30_000, (KIND,)),
    "another host": (GOOD, (KIND, "Host: evil.example")),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_both_ways_answer_the_same(start: Starts, name: str) -> None:
    running = start(Slot(FakePredictor()))
    body, fields = REQUESTS[name]
    express, long = (running.ask(body, *fields, way=way) for way in WAYS)
    assert _comparable(express) == _comparable(long)


@pytest.mark.parametrize(
    ("field", "status"),
    [("", 401), ("X-API-Key: cg_wrong", 401), (f"X-API-Key: {OTHER}", 403),
     (f"X-API-Key: {SECRET}", 200), (f"Authorization: Bearer {SECRET}", 200)],
    ids=["none", "wrong", "another scope", "right", "as bearer"],
)  # fmt: skip
def test_keys_are_asked_for_both_ways(start: Starts, field: str, status: int) -> None:
    keys = f"{KEY.entry()},{NARROW.entry()}"
    running = start(Slot(FakePredictor()), api_keys=keys)
    fields = (KIND, field) if field else (KIND,)
    found = [_comparable(running.ask(GOOD, *fields, way=way)) for way in WAYS]
    assert found[0] == found[1]
    assert found[0][0] == status


def test_both_ways_draw_on_one_rate(start: Starts) -> None:
    running = start(Slot(FakePredictor()), api_keys=KEY.entry(), rate_per_second=0.001,
                    rate_burst=2)  # fmt: skip
    key = f"X-API-Key: {SECRET}"
    statuses = [running.ask(GOOD, KIND, key, way=way).status for way in (*WAYS, *WAYS)]
    assert statuses == [200, 200, 429, 429]


@pytest.mark.parametrize("slot", [Slot(), Slot(BrokenPredictor())], ids=["none", "broken"])
def test_failures_are_told_the_same_both_ways(start: Starts, slot: Slot) -> None:
    running = start(slot)
    found = [_comparable(running.ask(GOOD, KIND, way=way)) for way in WAYS]
    assert found[0] == found[1]
    assert found[0][0] in (500, 503)


def test_both_ways_are_logged_and_counted(start: Starts) -> None:
    running = start(Slot(FakePredictor()))
    given = [json.loads(running.ask(GOOD, KIND, way=way).body)["prediction_id"] for way in WAYS]
    running.ask(b"{", KIND, way="express")
    assert sorted(read_window(running.database).ids) == sorted(given)
    with httpx.Client(base_url=running.address) as client:
        found = samples(client)
    total = "crimeguard_http_requests_total"
    assert found[total, "POST", "/predict", "200"] == 2
    assert found[total, "POST", "/predict", "400"] == 1
    assert found["crimeguard_http_requests_in_progress",] == 1  # the one that asks


@pytest.mark.parametrize("way", WAYS)
def test_a_log_that_hangs_holds_nobody_for_good(
    start: Starts, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start(Slot(FakePredictor()), deadline_seconds=0.3)
    let = threading.Event()
    write = running.database.alone

    def hanging(statement: str, values: Sequence[object]) -> None:
        assert let.wait(20)
        write(statement, values)

    monkeypatch.setattr(running.database, "alone", hanging)
    try:
        refused = running.ask(GOOD, KIND, way=way)
        # Who comes while the log hangs is told the same, scored or not.
        again = running.ask(GOOD, KIND, way=way)
    finally:
        let.set()
    for answer in (refused, again):
        assert json.loads(answer.body)["type"] == "/docs#problem-no-log"
        assert "retry-after" in dict(answer.headers)
    end = time.monotonic() + 20
    while (status := running.ask(GOOD, KIND, way=way).status) != 200 and time.monotonic() < end:
        time.sleep(0.01)
    assert status == 200


def test_requests_behind_each_other_are_answered_in_turn(start: Starts) -> None:
    running = start(Slot(FakePredictor()))
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\n{KIND}\r\nContent-Length: {len(GOOD)}\r\n"
    last = f"{head}Connection: close\r\nX-Request-ID: "
    together = b"".join(
        f"{last if number == 4 else head + 'X-Request-ID: '}{number}\r\n\r\n".encode() + GOOD
        for number in range(5)
    )
    received = b""
    with contextlib.closing(running.connect()) as client:
        client.sendall(together)
        while part := client.recv(65_536):
            received += part
    found = answers(received)
    assert [dict(answer.headers)["x-request-id"] for answer in found] == list("01234")
    assert {answer.status for answer in found} == {200}


def test_who_went_away_harms_nobody(start: Starts) -> None:
    running = start(Slot(FakePredictor()))
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\n{KIND}\r\nContent-Length: {len(GOOD)}\r\n\r\n"
    for _ in range(20):
        client = running.connect()
        client.sendall(head.encode() + GOOD)
        client.close()
    end = time.monotonic() + 20
    while (running.expressed < 20 or running.service.desk.taken) and time.monotonic() < end:
        time.sleep(0.01)
    assert running.service.desk.taken == 0
    assert running.ask(GOOD, KIND, way="express").status == 200


def test_leaving_closes_the_connection_with_the_answer(start: Starts) -> None:
    running = start(Slot(FakePredictor()))
    assert "connection" not in dict(running.ask(GOOD, KIND, way="express").headers)
    running.service.leaving.set()
    for way in WAYS:
        assert dict(running.ask(GOOD, KIND, way=way).headers)["connection"] == "close"
