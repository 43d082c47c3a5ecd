"""Who changed what by calling the API: a line in the ledger for each call of the scope `admin`.

A change has two lines with one `decision_id`: what was asked, written before anything is done,
and what became of it. If the first cannot be written nothing is done (503). If only the
second cannot, the change stands, the log says so, and the first line is left to tell of it.
A key that lacks the scope leaves one line. Requests without a valid key leave none, or
strangers could fill the ledger; they are counted in /metrics.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Connection

from crimeguard.domain.errors import RecordsError
from crimeguard.records.ledger import Ledger
from crimeguard.serve.guard import NEEDS, route_of
from crimeguard.serve.keys import Scope
from crimeguard.serve.limits import Limits, Rate
from crimeguard.serve.problem import NO_LOG, Problem, answer

log = logging.getLogger(__name__)

KIND: Final = "admin"
LOOPBACK: Final = "loopback"  # who asks where there are no keys
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_PATIENCE: Final = 15.0  # seconds; a database that hangs must not hold its callers for good
# Lines of one key that may not do what it asks: the tenth says as much as the thousandth.
_DENIED: Final = Rate(0.1, 10)
_FORBIDDEN: Final = 403
_BROKEN: Final = 500


class Audit:
    """Writes the lines; what asks for them waits until they are there.

    Parameters
    ----------
    ledger
        None, where nothing is recorded, lets nothing be changed.
    clock
        Tells seconds; tests put their own here.
    """

    def __init__(self, ledger: Ledger | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._limits = Limits(_DENIED, clock=clock)
        self._left_out: dict[str, int] = {}

    async def asked(self, scope: Connection, route: str) -> str:
        """Note what is about to be done, and return a name for it; Problem (503) if it cannot."""
        call = uuid.uuid4().hex
        if not await self._write(scope, route, "asked", {}, call):
            raise Problem(NO_LOG, "The ledger cannot be written, so nothing is changed.",
                          headers={"Retry-After": "5"})  # fmt: skip
        return call

    async def answered(self, scope: Connection, route: str, status: int, call: str) -> None:
        """Note what became of it."""
        await self._write(scope, route, f"answered {status}", {"status": status}, call)

    async def denied(self, scope: Connection, route: str) -> None:
        """Note that a key asked for what it may not; a few lines of each key."""
        if NEEDS[route] is not Scope.ADMIN or scope["method"] in _READING:
            return
        who = _who(scope)
        if self._limits.take(who):
            self._left_out[who] = self._left_out.get(who, 0) + 1
            return
        left_out = self._left_out.pop(who, 0)
        more = {"left_out": left_out} if left_out else {}
        await self._write(scope, route, "denied", {"status": _FORBIDDEN, **more})

    async def _write(
        self, scope: Connection, route: str, why: str, outcome: Mapping[str, Any],
        call: str | None = None,
    ) -> bool:  # fmt: skip
        if self._ledger is None:
            return False
        request_id = scope.get("state", {}).get("request_id", "")
        try:
            async with asyncio.timeout(_PATIENCE):
                await asyncio.to_thread(
                    self._ledger.append, KIND, subject=f"{scope['method']} {route}",
                    who=_who(scope), why=why, decision_id=call,
                    evidence={"method": scope["method"], "route": route,
                              "request_id": request_id, **outcome},
                )  # fmt: skip
        except (RecordsError, TimeoutError):
            log.exception(
                "the ledger cannot be written: %s %s by %s, %s", scope["method"], route,
                _who(scope), why, extra={"facts": {"request_id": request_id}},
            )  # fmt: skip
            return False
        return True


class Audited:
    """ASGI middleware behind the guard: whoever comes here to change something is written down."""

    def __init__(self, app: ASGIApp, audit: Audit) -> None:
        self._app = app
        self._audit = audit

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Pass the request on, between two lines if it is to change something."""
        route = _changing(scope)
        if route is None:
            await self._app(scope, receive, send)
            return
        try:
            call = await self._audit.asked(scope, route)
        except Problem as problem:
            await answer(Request(scope), problem)(scope, receive, send)
            return
        told = False

        async def telling(message: Message) -> None:
            nonlocal told
            if message["type"] == "http.response.start":
                told = True
                await self._audit.answered(scope, route, message["status"], call)
            await send(message)

        try:
            await self._app(scope, receive, telling)
        finally:
            if not told:
                await self._audit.answered(scope, route, _BROKEN, call)


def _changing(scope: Connection) -> str | None:
    """Return the route of the scope `admin` by which a request is to change something."""
    if scope["type"] != "http" or scope["method"] in _READING:
        return None
    route = route_of(scope["path"])
    return route if route is not None and NEEDS[route] is Scope.ADMIN else None


def _who(scope: Connection) -> str:
    name: str = scope.get("state", {}).get("api_key", LOOPBACK)
    return name
