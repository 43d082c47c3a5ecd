"""What one connection may take: time, memory, and a place among the others.

A client may send a byte a second, or never read what it is answered; it costs the others
nothing but one of the places. Who comes when all places are taken, or when the service has
no room, is told so at once, before anything of its body is read: only probes go on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any, Final, Self, cast

import orjson
from starlette.types import Scope
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from crimeguard.serve.envelope import REQUEST_ID, SECURITY_HEADERS, request_id_of
from crimeguard.serve.express import Express
from crimeguard.serve.guard import route_of
from crimeguard.serve.problem import (
    BUSY,
    HEADER_TOO_LARGE,
    MEDIA_TYPE,
    NOT_HTTP,
    TOO_SLOW,
    Problem,
    document,
)
from crimeguard.serve.service import Service
from crimeguard.settings import Settings

PROBES: Final = frozenset(
    {"/livez", "/readyz", "/health", "/metrics", "/v2/health/live", "/v2/health/ready"}
)
_SINGLE: Final = "/predict"
_HEADER_SECONDS: Final = 10.0
_HASTE: Final = 2.0  # seconds for the header of one who comes when all places are taken
_MOST_HEADER: Final = 65_536  # bytes
_MOST_FIELDS: Final = 128  # of a header
_LEAST_READ: Final = 16_384  # bytes of an answer in the time that a client has
_SPARE: Final = 64  # connections beyond the allowed ones, for probes
_STATUS: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus
}
_SECURITY: Final = b"".join(
    f"{name}: {text}\r\n".encode() for name, text in SECURITY_HEADERS.items()
)
_Receive = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the connections of one process may take together, and each of them.

    `most` connections are served; `header`, `body` and `answer` are the seconds in which a
    client must have sent or read it. `full` returns the Problem for which a request to a
    path must not be taken, None mostly.
    """

    service: Service
    express: Express
    most: int
    header: float
    body: float
    answer: float
    # Those beyond `most`, the oldest first.
    crowd: dict[BoundedConnection, None] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings, service: Service) -> Self:
        """Return the bounds that the settings set."""
        body = settings.body_seconds
        header = min(_HEADER_SECONDS, body)
        return cls(service, Express(service), settings.max_connections, header, body, body)

    def full(self, path: str) -> Problem | None:
        """Return why a request to this path is refused before it is read."""
        return self.service.desk.refusal() if path == _SINGLE else None


class BoundedConnection(HttpToolsProtocol):
    """uvicorn's connection, with bounds.

    What a request costs here is two readings of the clock: nothing is timed by a timer of
    its own, but all connections are looked through once a second (`close_the_late`).
    """

    def __init__(self, *arguments: Any, bounds: Bounds, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._bounds = bounds
        self._beyond = False
        self._began: float | None = None  # of a message that has not come to its end
        self._bulky = False  # whether what was received last may hold too large a header
        self._header = 0  # bytes of it, while its header has not
        self._timed: RequestResponseCycle | None = None
        # Since when the client has read next to nothing, and what waited for it then.
        self._unread: tuple[float, int] | None = None
        self._receiving = False
        # A request for the express way, until it is known whether it came whole.
        self._held: tuple[RequestResponseCycle, ASGI3Application] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place, if need be beside the others."""
        super().connection_made(transport)
        self._began = time.monotonic()
        if len(self.connections) > self._bounds.most:
            self._beyond = True
            crowd = self._bounds.crowd
            crowd[self] = None
            if len(crowd) > _SPARE:
                oldest = next(iter(crowd))
                del crowd[oldest]
                oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Free the place."""
        self._bounds.crowd.pop(self, None)
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Note when a message began."""
        self._began, self._header = time.monotonic(), 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Go on; fields behind the body are no headers, which a proxy in front has not seen."""
        super().on_headers_complete()
        self.headers = []

    def on_message_complete(self) -> None:
        """Note that it has come to its end."""
        self._began = None
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Read on; a message that is not complete now has to be by a certain time."""
        before = self._began
        self._bulky = len(data) > _MOST_HEADER
        self._receiving = True
        super().data_received(data)
        self._receiving = False
        if self._held is not None:
            self._let_go(*self._held)
        if self._began is not None:
            # Of data in which it began, other messages may have the most.
            self._wait_for_more(len(data) if self._began is before else 0)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 -- uvicorn's signature
        """Answer what is no HTTP, or could be read in two ways, as everything else."""
        self._say(Problem(NOT_HTTP, "The request cannot be read as HTTP."))

    def resume_writing(self) -> None:
        """Note that the client has read."""
        self._unread = None
        super().resume_writing()

    def close_if_late(self, now: float) -> None:
        """Close the connection if its client takes too long."""
        if self._reads_nothing(now) or self._sends_in_vain(now):
            self.transport.abort()
        elif self._began is not None and not self._in_body:
            limit = _HASTE if self._beyond else self._bounds.header
            if now - self._began > limit:
                self._say(Problem(TOO_SLOW, "The header of the request did not come in time."))

    @property
    def _in_body(self) -> bool:
        """Whether the header of the message that is being read is known."""
        return self.cycle is not None and self.cycle.scope is self.scope

    def _reads_nothing(self, now: float) -> bool:
        if not (self.flow.write_paused or self.transport.is_closing()):
            return False
        left = self.transport.get_write_buffer_size()
        if self._unread is None or left <= self._unread[1] - _LEAST_READ:
            self._unread = now, left
        return now - self._unread[0] > self._bounds.answer

    def _sends_in_vain(self, now: float) -> bool:
        """Whether a body goes on that nobody reads; who reads it has been told before."""
        if self._began is None or not self._in_body:
            return False
        if self.flow.read_paused:
            self._began = now  # it is we who do not read
        return now - self._began > self._bounds.body + _HASTE

    def _wait_for_more(self, size: int) -> None:
        if not self._in_body:
            self._header += size
            if self._header > _MOST_HEADER:
                self._say(_large_header())
            return
        cycle = self.cycle
        if cycle.more_body and cycle is not self._timed:
            self._timed = cycle
            end = self._bounds.body - (time.monotonic() - (self._began or 0.0))
            cycle.receive = partial(  # type: ignore[method-assign]
                _in_time, cycle, cycle.receive, self.loop.time() + end
            )

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        problem = self._refusal(cycle)
        if problem is not None:
            path, method = str(cycle.scope["path"]), str(cycle.scope["method"])
            cycle.keep_alive = cycle.keep_alive and not self._beyond
            identifier = request_id_of(cast("Scope", cycle.scope))
            self._answer(cycle, *_as_answer(problem, path, identifier))
            route = route_of(path) or "unmatched"
            self._bounds.service.metrics.count_request(route, method, problem.kind.status, 0.0)
        elif self._receiving and self._bounds.express.takes(cast("Scope", cycle.scope)):
            self._held = cycle, app
        else:
            super()._start_asgi_task(cycle, app)

    def _let_go(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Take the request that was held the way that it can go."""
        self._held = None
        if self.transport.is_closing():
            return
        if cycle.more_body:
            super()._start_asgi_task(cycle, app)
            return
        scope, body = cast("Scope", cycle.scope), bytes(cycle.body)
        self._bounds.express.take(scope, body, partial(self._answer, cycle))

    def _answer(
        self, cycle: RequestResponseCycle, status: int, kind: str, body: bytes,
        headers: Mapping[str, str], identifier: str,
    ) -> bool:  # fmt: skip
        """Write a whole answer; False if nobody is there any more."""
        cycle.response_started = cycle.response_complete = True
        if cycle.disconnected or self.transport.is_closing():
            return False
        keep = cycle.keep_alive and not self._bounds.service.leaving.is_set()
        keep = keep and headers.get("Connection") != "close"
        self.transport.write(self._written(status, kind, body, headers, identifier, keep=keep))
        if not keep:
            self.transport.close()
        cycle.on_response()
        return True

    def _refusal(self, cycle: RequestResponseCycle) -> Problem | None:
        path = str(cycle.scope["path"])
        headers = list(cycle.scope["headers"])
        # A header that came in one piece has not been weighed yet.
        if len(headers) > _MOST_FIELDS or (self._bulky and _size(headers) > _MOST_HEADER):
            cycle.keep_alive = False
            return _large_header()
        if path in PROBES:
            cycle.keep_alive = cycle.keep_alive and not self._beyond
            return None
        if self._beyond:
            return Problem(BUSY, "All connections are taken.", headers={"Retry-After": "1"})
        # Those that wait behind another on one connection take the long way.
        return None if self.pipeline else self._bounds.full(path)

    def _say(self, problem: Problem) -> None:
        """Answer a request that is not known yet, and close."""
        if not self.transport.is_closing():
            self.transport.write(self._written(*_as_answer(problem, "", ""), keep=False))
            self.transport.close()
            self._bounds.service.metrics.count_request(
                "unmatched", "other", problem.kind.status, 0.0
            )

    def _written(
        self, status: int, kind: str, body: bytes, headers: Mapping[str, str], identifier: str,
        *, keep: bool,
    ) -> bytes:  # fmt: skip
        more = "".join(f"{name}: {text}\r\n" for name, text in headers.items())
        if identifier:
            more += f"{REQUEST_ID}: {identifier}\r\n"
        if not keep and "Connection" not in headers:
            more += "Connection: close\r\n"
        date = b"".join(b"%s: %s\r\n" % pair for pair in self.server_state.default_headers)
        head = f"{_STATUS[status]}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}"
        return b"%s%s%s\r\n%s" % (head.encode("ascii"), date, _SECURITY, body)


def _as_answer(
    problem: Problem, path: str, identifier: str
) -> tuple[int, str, bytes, Mapping[str, str], str]:
    body = orjson.dumps(document(problem, path, identifier))
    return problem.kind.status, MEDIA_TYPE, body, problem.headers, identifier


def _size(headers: Iterable[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) for name, value in headers)


def _large_header() -> Problem:
    text = f"It may have {_MOST_HEADER:,} bytes and {_MOST_FIELDS} fields."
    return Problem(HEADER_TOO_LARGE, f"The header of the request is too large. {text}")


def close_the_late(connections: Iterable[Any]) -> None:
    """Look through all connections for clients that take too long."""
    now = time.monotonic()
    for connection in list(connections):
        if isinstance(connection, BoundedConnection):
            connection.close_if_late(now)


async def _in_time(cycle: RequestResponseCycle, receive: _Receive, end: float) -> Any:
    """Receive the next part of a body; Problem (408) if it does not come by then."""
    if cycle.response_started or not cycle.more_body:
        return await receive()  # until the client goes away
    try:
        async with asyncio.timeout_at(end):
            return await receive()
    except TimeoutError:
        raise Problem(TOO_SLOW, "The body of the request did not come in time.",
                      headers={"Connection": "close"}) from None  # fmt: skip
