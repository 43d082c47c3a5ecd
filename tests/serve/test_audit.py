"""Calls of the scope `admin`, with a route of the test's own in front of the real middleware."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import Response

from crimeguard.domain.errors import RecordsError
from crimeguard.records.database import Database
from crimeguard.records.ledger import Ledger, LedgerEntry
from crimeguard.records.prediction_log import PredictionLog
from crimeguard.serve import audit as audit_module
from crimeguard.serve.app import create_app
from crimeguard.serve.audit import Audit
from crimeguard.serve.guard import NEEDS
from crimeguard.serve.keys import Scope, make_key
from crimeguard.serve.openapi import NAMES_EXAMPLE
from crimeguard.serve.problem import CONFLICT, Problem
from crimeguard.serve.slot import Slot
from crimeguard.settings import Settings
from tests.serve.fakes import Client, FakePredictor

MADE = {scope: make_key(f"only-{scope}", [scope]) for scope in Scope}
ADMIN, PREDICT = ({"X-API-Key": MADE[scope][0]} for scope in (Scope.ADMIN, Scope.PREDICT))
Build = Callable[..., "Lever"]


class Lever:
    """An app with a route that changes something, and what it has changed."""

    def __init__(self, settings: Settings, log: PredictionLog | None) -> None:
        self.app = create_app(settings, Slot(FakePredictor()), log=log)
        self.pulled: list[str] = []
        self.lines_before: list[int] = []
        for method in ("POST", "DELETE", "GET"):
            self.app.add_api_route("/lever", self._pull, methods=[method], name=method)
        self.client = Client(self.app)
        self.ledger = None if log is None else Ledger(log.database)

    async def _pull(self, how: str = "") -> Response:
        self.lines_before.append(len(self.lines()) if self.ledger is not None else 0)
        self.pulled.append(how)
        if how == "conflict":
            raise Problem(CONFLICT, "It is down already.")
        if how == "fault":
            raise RuntimeError("it broke")
        return Response(status_code=204)

    def pull(self, how: str = "", method: str = "POST", **options: Any) -> httpx.Response:
        return self.client.request(method, f"/lever?how={how}", **options)

    def lines(self) -> list[LedgerEntry]:
        assert self.ledger is not None
        return self.ledger.entries("admin")


@pytest.fixture
def keyed(settings: Settings) -> Settings:
    return replace(settings, api_keys=",".join(key.entry() for _, key in MADE.values()))


@pytest.fixture
def build(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Build]:
    monkeypatch.setitem(NEEDS, "/lever", Scope.ADMIN)
    made: list[FastAPI] = []
    with PredictionLog(database) as log:

        def make(settings: Settings, *, recorded: bool = True) -> Lever:
            lever = Lever(settings, log if recorded else None)
            made.append(lever.app)
            return lever

        yield make
        for app in made:
            app.state.service.close()


@pytest.fixture
def lever(build: Build, keyed: Settings) -> Lever:
    return build(keyed)


def test_a_change_is_written_down_before_it_is_done_and_after(lever: Lever) -> None:
    answer = lever.pull(headers={**ADMIN, "X-Request-ID": "trace-1"})
    assert answer.status_code == 204
    assert lever.lines_before == [1]
    before, after = lever.lines()
    assert (before.who, before.subject, before.why) == ("only-admin", "POST /lever", "asked")
    assert after.why == "answered 204"
    assert before.decision_id == after.decision_id is not None
    known = {"method": "POST", "route": "/lever", "request_id": "trace-1"}
    assert (before.evidence, after.evidence) == (known, {**known, "status": 204})


@pytest.mark.parametrize(("how", "status"), [("conflict", 409), ("fault", 500)])
def test_what_became_of_it_is_written_down_if_it_failed_too(
    lever: Lever, how: str, status: int
) -> None:
    assert lever.pull(how, headers=ADMIN).status_code == status
    assert [line.why for line in lever.lines()] == ["asked", f"answered {status}"]


def test_nothing_of_query_header_or_body_is_written_down(lever: Lever) -> None:
    headers = {**ADMIN, "X-Else": "MARKheader"}
    lever.pull("MARKquery", "DELETE", headers=headers, json={"MARKname": "MARKvalue"})
    assert lever.pulled == ["MARKquery"]
    assert len(lever.lines()) == 2
    assert "MARK" not in str(lever.lines())


def test_without_keys_it_was_whoever_is_on_this_machine(build: Build, settings: Settings) -> None:
    lever = build(settings)
    lever.pull()
    assert [line.who for line in lever.lines()] == ["loopback"] * 2


def test_a_key_that_may_not_is_written_down_and_changes_nothing(lever: Lever) -> None:
    assert lever.pull(headers={**PREDICT, "X-Request-ID": "trace-2"}).status_code == 403
    (line,) = lever.lines()
    assert (line.who, line.why, line.decision_id) == ("only-predict", "denied", None)
    assert (line.evidence["status"], line.evidence["request_id"]) == (403, "trace-2")
    assert lever.pulled == []


def test_whoever_asks_again_and_again_does_not_fill_the_ledger(lever: Lever) -> None:
    for _ in range(30):
        assert lever.pull(headers=PREDICT).status_code == 403
    assert len(lever.lines()) == 10
    assert lever.pull(headers=ADMIN).status_code == 204
    assert len(lever.lines()) == 12


def test_the_next_line_says_how_many_were_left_out(database: Database) -> None:
    now = [0.0]
    audit = Audit(Ledger(database), clock=lambda: now[0])
    scope = {"type": "http", "method": "POST", "path": "/x", "state": {"api_key": "k"}}

    async def deny() -> None:
        for _ in range(25):
            await audit.denied(scope, "/x")
        now[0] += 10.0
        await audit.denied(scope, "/x")

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NEEDS, "/x", Scope.ADMIN)
        asyncio.run(deny())
    lines = Ledger(database).entries("admin")
    assert [line.evidence.get("left_out") for line in lines] == [None] * 10 + [15]


def test_strangers_readers_and_other_routes_leave_no_line(lever: Lever) -> None:
    assert lever.pull().status_code == 401
    assert lever.pull(headers={"X-API-Key": "cg_wrong"}).status_code == 401
    assert lever.pull(method="GET", headers=ADMIN).status_code == 204
    assert lever.pull(method="GET", headers=PREDICT).status_code == 403
    assert lever.client.post("/predict", json=NAMES_EXAMPLE, headers=PREDICT).status_code == 200
    assert lever.client.post("/predict", json=NAMES_EXAMPLE, headers=ADMIN).status_code == 403
    assert lever.lines() == []


def test_a_change_that_cannot_be_written_down_is_not_made(
    lever: Lever, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> LedgerEntry:
        raise RecordsError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "append", fail)
        answer = lever.pull(headers=ADMIN)
        # What is refused anyway is refused as ever.
        assert lever.pull(headers=PREDICT).status_code == 403
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.json()["type"] == "/docs#problem-no-log"
    assert "so nothing is changed" in answer.json()["detail"]
    assert lever.pulled == []
    assert "the ledger cannot be written: POST /lever by only-admin" in caplog.text
    assert lever.pull(headers=ADMIN).status_code == 204


def test_a_ledger_that_hangs_is_one_that_cannot_be_written(
    lever: Lever, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    let = threading.Event()

    def hang(*_: Any, **__: Any) -> LedgerEntry:
        let.wait(30)
        raise RecordsError("too late")

    monkeypatch.setattr(audit_module, "_PATIENCE", 0.05)
    monkeypatch.setattr(Ledger, "append", hang)
    # The thread must end, or the event loop of the test waits for it.
    threading.Timer(0.5, let.set).start()
    assert lever.pull(headers=ADMIN).status_code == 503
    assert lever.pulled == []


def test_a_change_whose_outcome_cannot_be_written_down_stands_and_is_told(
    lever: Lever, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    append = Ledger.append

    def once(self: Ledger, kind: str, *, why: str, **rest: Any) -> LedgerEntry:
        if why != "asked":
            raise RecordsError("no room")
        return append(self, kind, why=why, **rest)

    monkeypatch.setattr(Ledger, "append", once)
    with caplog.at_level(logging.ERROR):
        assert lever.pull(headers=ADMIN).status_code == 204
    assert [line.why for line in lever.lines()] == ["asked"]
    assert "answered 204" in caplog.text


def test_where_nothing_is_recorded_nothing_is_changed(build: Build, keyed: Settings) -> None:
    lever = build(keyed, recorded=False)
    assert lever.pull(headers=ADMIN).status_code == 503
    assert lever.pulled == []


def test_every_route_of_the_scope_is_told_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    for route in (route for route, scope in NEEDS.items() if scope is Scope.ADMIN):
        assert f"`{route}`" in page
