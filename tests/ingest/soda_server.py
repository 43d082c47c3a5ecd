"""A server on loopback that speaks enough SODA for a pull, and misbehaves on request.

Rows have an order of their own that their ids as texts do not show, as on the portals.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

Row = dict[str, str]
_CONDITION = re.compile(r"(:?\w+) (>=|>) '([^']*)'|(:id) in\(([^)]*)\)")


@dataclass
class Dataset:
    """Rows by the place in their order, and what is done to them."""

    columns: list[str]
    rows: dict[int, Row] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    taken: set[int] = field(default_factory=set)
    clock: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    @classmethod
    def of(cls, rows: Iterable[Row], columns: list[str]) -> Dataset:
        made = cls(list(columns))
        for row in rows:
            made.insert(row)
        return made

    def insert(self, row: Row, place: int | None = None) -> str:
        """Add a row, by default behind all others."""
        with self.lock:
            at = 2 * len(self.places) if place is None else place
            while at in self.taken:
                at += 1
            self.taken.add(at)
            identifier = f"row-{hashlib.sha256(str(at).encode()).hexdigest()[:14]}"
            self.places[identifier] = at
            self.rows[at] = {**row, ":id": identifier, ":updated_at": self._now()}
            return identifier

    def change(self, identifier: str, **values: str) -> None:
        with self.lock:
            row = self.rows[self.places[identifier]]
            self.rows[self.places[identifier]] = {**row, **values, ":updated_at": self._now()}

    def delete(self, identifier: str) -> None:
        with self.lock:
            del self.rows[self.places[identifier]]

    def ids(self) -> list[str]:
        with self.lock:
            return [self.rows[place][":id"] for place in sorted(self.rows)]

    def content(self) -> list[Row]:
        """Return all rows with their system fields, in order of :id as text."""
        with self.lock:
            return sorted(self.rows.values(), key=lambda row: row[":id"])

    def _now(self) -> str:
        self.clock += 1
        seconds, fraction = divmod(self.clock, 1000)
        hours, rest = divmod(seconds, 3600)
        return f"2026-11-24T{hours:02d}:{rest // 60:02d}:{rest % 60:02d}.{fraction:03d}Z"


class Refused(Exception):  # noqa: N818 -- it is an answer
    """A request that is answered with 400."""


@dataclass
class Portal:
    """A data set behind HTTP, and the faults it is to have.

    `faults` maps the number of a request for rows, counts or newest (from 1) to what goes
    wrong: `429`, `429:SECONDS`, `503`, `cut` (the connection ends in mid body), `garbled`
    (a body that is no JSON). `before` is called with the number of each such request.
    `wrong_count` is added to every count, `token` asked for.
    """

    dataset: str
    data: Dataset
    token: str = ""
    faults: dict[int, str] = field(default_factory=dict)
    before: Callable[[int], None] = lambda number: None
    wrong_count: int = 0
    requests: list[dict[str, str]] = field(default_factory=list)
    address: str = ""

    def answer(self, given: dict[str, str]) -> list[dict[str, Any]]:
        """Answer a query, as SoQL means it."""
        with self.data.lock:
            conditions = self._conditions(given.get("$where", ""))
            chosen = sorted(
                place
                for place, row in self.data.rows.items()
                if all(holds(place, row) for holds in conditions)
            )
            return self._selected(given, [self.data.rows[place] for place in chosen])

    def _selected(self, given: dict[str, str], rows: list[Row]) -> list[dict[str, Any]]:
        select = given["$select"]
        if select.startswith("count(*)"):
            return [{select.split()[-1]: str(len(rows) + self.wrong_count)}]
        if select.startswith("max(:updated_at)"):
            newest = max((row[":updated_at"] for row in rows), default=None)
            return [{select.split()[-1]: newest} if newest else {}]
        if given.get("$order") != ":id":
            raise Refused("paging without an order")
        columns = select.split(",")
        for name in columns:
            if name not in {":id", ":updated_at", *self.data.columns}:
                raise Refused(f"query.soql.no-such-column; No such column: {name}")
        limit = int(given["$limit"])
        return [{name: row[name] for name in columns if row.get(name)} for row in rows[:limit]]

    def _conditions(self, where: str) -> list[Callable[[int, Row], bool]]:
        left = _CONDITION.sub("", where)
        if left.replace("(", "").replace(")", "").replace("AND", "").strip():
            raise Refused(f"not understood: {where}")
        return [self._condition(*found) for found in _CONDITION.findall(where)]

    def _condition(
        self, name: str, sign: str, value: str, _: str, listed: str
    ) -> Callable[[int, Row], bool]:
        if listed:
            chosen = set(re.findall(r"'([^']*)'", listed))
            return lambda _, row: row[":id"] in chosen
        if name == ":id":
            behind = self.data.places[value]
            return lambda place, _: place > behind
        if sign == ">=":
            return lambda _, row: row.get(name, "") >= value
        return lambda _, row: row.get(name, "") > value


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    portal: ClassVar[Portal]

    def do_GET(self) -> None:
        portal, asked = self.portal, urlsplit(self.path)
        given = {name: values[0] for name, values in parse_qs(asked.query).items()}
        if portal.token and self.headers.get("X-App-Token") != portal.token:
            self._send(403, {"message": "Invalid app_token specified"})
        elif asked.path == f"/api/views/{portal.dataset}.json":
            columns = [{"fieldName": name, "dataTypeName": "text"} for name in portal.data.columns]
            self._send(200, {"columns": columns})
        elif asked.path == f"/resource/{portal.dataset}.json":
            portal.requests.append(given)
            portal.before(len(portal.requests))
            self._rows(given, portal.faults.get(len(portal.requests), ""))
        else:
            self._send(404, {"message": "not found"})

    def _rows(self, given: dict[str, str], fault: str) -> None:
        try:
            body = self.portal.answer(given)
        except Refused as error:
            self._send(400, {"message": str(error)})
            return
        status, _, pause = fault.partition(":")
        if status.isdecimal():
            self._send(int(status), {"message": "later"}, {"Retry-After": pause} if pause else {})
        elif fault == "garbled":
            self._write(200, b'[{":id": "row-', {})
        else:
            self._send(200, body, cut=fault == "cut")

    def _send(
        self, status: int, body: Any, headers: dict[str, str] | None = None, *, cut: bool = False
    ) -> None:
        self._write(status, json.dumps(body).encode(), headers or {}, cut=cut)

    def _write(
        self, status: int, body: bytes, headers: dict[str, str], *, cut: bool = False
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Write nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent where a client that was killed hung up."""


@contextmanager
def serving(portal: Portal) -> Iterator[Portal]:
    """Serve a portal on a free port of this machine."""
    handler = type("Handler", (_Handler,), {"portal": portal})
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    portal.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield portal
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
