"""What every answer carries: a request id and security headers; and no answer is a traceback."""

from __future__ import annotations

import logging
import re
import threading
import uuid
from collections.abc import Iterable
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crimeguard.serve.problem import BROKEN, Problem, answer

log = logging.getLogger(__name__)

REQUEST_ID: Final = "X-Request-ID"
_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
# No cross-origin header is ever sent: pages of other sites cannot read these answers.
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
_RAW_HEADERS: Final = tuple(
    (name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()
)
_RAW_REQUEST_ID: Final = REQUEST_ID.lower().encode()


class Envelope:
    """ASGI middleware around the whole app; no connection is kept once `leaving` is set."""

    def __init__(self, app: ASGIApp, leaving: threading.Event) -> None:
        self._app = app
        self._leaving = leaving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and put the headers on whatever is answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        begun = False

        async def send_in_envelope(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = self._addressed(message.get("headers", ()), request_id)
            await send(message)

        try:
            await self._app(scope, receive, send_in_envelope)
        except ClientDisconnect:
            log.info("the client went away", extra=_facts(request_id))
        except Exception:
            log.exception("the request failed", extra=_facts(request_id))
            if begun:
                raise
            problem = Problem(BROKEN, "This is a fault of the server, not of the request.")
            response = answer(Request(scope), problem)
            await response(scope, receive, send_in_envelope)

    def _addressed(
        self, given: Iterable[tuple[bytes, bytes]], request_id: str
    ) -> list[tuple[bytes, bytes]]:
        """Return the headers of an answer with ours; what a route has said itself stays."""
        leaving = self._leaving.is_set()
        headers = [pair for pair in given if not leaving or pair[0].lower() != b"connection"]
        names = {name.lower() for name, _ in headers}
        headers += [pair for pair in _RAW_HEADERS if pair[0] not in names]
        headers.append((_RAW_REQUEST_ID, request_id.encode("ascii")))
        if leaving:
            headers.append((b"connection", b"close"))
        return headers


def _facts(request_id: str) -> dict[str, Any]:
    return {"facts": {"request_id": request_id}}


def request_id_of(scope: Scope) -> str:
    """Return the identifier that the caller gave the request, or a new one."""
    for name, value in scope["headers"]:
        if name == _RAW_REQUEST_ID:
            given: str = value.decode("latin-1")
            return given if _ACCEPTABLE_ID.fullmatch(given) else uuid.uuid4().hex
    return uuid.uuid4().hex
