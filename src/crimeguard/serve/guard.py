"""Who may call which route, where API keys are in use, and how often.

Everything needs a key that is not said to be open here, unknown paths too: a stranger
cannot even learn which paths there are. Whoever shows no key, or a wrong one, is not held up:
the refusal costs less than any other answer, and what would tell strangers apart, their
address, is a proxy's for all of them, or theirs to change.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from crimeguard.serve.keys import Key, KeyRing, Scope
from crimeguard.serve.limits import Limits
from crimeguard.serve.problem import (
    NO_KEY,
    TOO_MANY,
    WRONG_HOST,
    WRONG_SCOPE,
    Problem,
    answer,
)

HEADER: Final = "X-API-Key"
_PORT: Final = re.compile(r":[0-9]*\Z")
_ADDRESS: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[[0-9a-f:.]+\]", re.ASCII)
_REALM: Final = 'Bearer realm="crimeguard"'

# What each route needs; None is open. Probes and Prometheus have no keys, and the
# documentation is the same in every installation.
NEEDS: Final[dict[str, Scope | None]] = {
    "/": None,
    "/docs": None,
    "/docs/docs.css": None,
    "/docs/docs.js": None,
    "/openapi.json": None,
    "/livez": None,
    "/readyz": None,
    "/health": None,
    "/metrics": None,
    "/model": Scope.PREDICT,
    "/predict": Scope.PREDICT,
    "/predict/batch": Scope.PREDICT,
    "/labels": Scope.LABEL,
    "/experiment": Scope.ADMIN,
    "/v2": None,
    "/v2/health/live": None,
    "/v2/health/ready": None,
    "/v2/models/crimeguard": Scope.PREDICT,
    "/v2/models/crimeguard/ready": Scope.PREDICT,
    "/v2/models/crimeguard/infer": Scope.PREDICT,
    "/v2/models/crimeguard/versions/{version}": Scope.PREDICT,
    "/v2/models/crimeguard/versions/{version}/ready": Scope.PREDICT,
    "/v2/models/crimeguard/versions/{version}/infer": Scope.PREDICT,
}
# The app's own way of matching, so that no spelling of a path leads past the table.
_PATTERNS: Final = [(compile_path(path)[0], path) for path in NEEDS]


def require_complete(app: FastAPI) -> None:
    """RuntimeError if the app has a route of which the table does not say what it needs."""
    missing = {context.path for context in iter_route_contexts(app.routes)} - NEEDS.keys()
    if missing:
        raise RuntimeError(f"serve/guard.py does not say what {sorted(map(str, missing))} need.")


class Door(Protocol):
    """Decides who is let in."""

    def admit(self, scope: Connection) -> None:
        """Do nothing, or raise the Problem that a request is refused with."""


class Guard:
    """ASGI middleware that passes on whom the door lets in; others' bodies are not read.

    Parameters
    ----------
    denied
        Told of a request whose key lacks the scope, and its route, before that is answered.
    """

    def __init__(
        self, app: ASGIApp, door: Door,
        denied: Callable[[Connection, str], Awaitable[object]] | None = None,
    ) -> None:  # fmt: skip
        self._app = app
        self._door = door
        self._denied = denied

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer what the door says."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            self._door.admit(scope)
        except Problem as problem:
            route = route_of(scope["path"])
            if problem.kind is WRONG_SCOPE and self._denied is not None and route is not None:
                await self._denied(scope, route)
            await answer(Request(scope), problem)(scope, receive, send)
            return
        await self._app(scope, receive, send)


class KeyDoor:
    """Lets nobody pass without the key that a route needs: else 401, 403 or 429.

    Parameters
    ----------
    limits
        How many requests each key may make to routes that need one.
    held_up
        Told the name of the key of each request that was too many.
    """

    def __init__(
        self, keys: KeyRing, limits: Limits, held_up: Callable[[str], object] = lambda _: None
    ) -> None:
        self._keys = keys
        self._limits = limits
        self._held_up = held_up

    def admit(self, scope: Connection) -> None:
        """Let pass what is open, and who shows a key that may."""
        route = route_of(scope["path"])
        needed = None if route is None else NEEDS[route]
        if route is not None and needed is None:
            return
        key = self._keys.find(_shown(Headers(scope=scope)))
        if key is None:
            raise Problem(NO_KEY, "This API key is not accepted here.",
                          headers={"WWW-Authenticate": f'{_REALM}, error="invalid_token"'},
                          )  # fmt: skip
        # The name is for logs and records; the key itself goes no further.
        scope.setdefault("state", {})["api_key"] = key.name
        self._hold_up(key)
        if needed is not None and needed not in key.scopes:
            challenge = f'{_REALM}, error="insufficient_scope", scope="{needed}"'
            detail = f"The key {key.name!r} does not have the scope {needed.value!r}."
            raise Problem(WRONG_SCOPE, detail, headers={"WWW-Authenticate": challenge})

    def _hold_up(self, key: Key) -> None:
        wait = self._limits.take(key.name, key.rate)
        if wait:
            self._held_up(key.name)
            raise Problem(TOO_MANY, f"The key {key.name!r} has used up its requests for now.",
                          headers={"Retry-After": str(math.ceil(wait))})  # fmt: skip


class HostDoor:
    """For an API without keys: lets nobody pass who takes it for another site (421).

    A page of evil.example whose name is made to lead to 127.0.0.1 (DNS rebinding) would be
    let in by the browser, for which it is of our origin; what it cannot do is to send
    another `Host`. Addresses and names without a dot are nobody's sites.
    """

    def __init__(self, own: str) -> None:
        self._own = own.lower()

    def admit(self, scope: Connection) -> None:
        """Look at every `Host` there is."""
        for name, value in scope["headers"]:
            if name == b"host" and not self._is_own(value.decode("latin-1")):
                raise Problem(WRONG_HOST, "Ask for localhost, or use API keys.")

    def _is_own(self, host: str) -> bool:
        name = _PORT.sub("", host.lower()).rstrip(".")
        return (
            "." not in name or name == self._own or name.endswith(".localhost")
            or _ADDRESS.fullmatch(name) is not None
        )  # fmt: skip


def route_of(path: str) -> str | None:
    """Return the route that a path leads to, None if to none; whatever became of the request."""
    if path in NEEDS:
        return path
    return next((route for pattern, route in _PATTERNS if pattern.match(path)), None)


def _shown(headers: Headers) -> str:
    """Return the one key that a request shows; Problem (401) if it shows none or several."""
    given = headers.getlist(HEADER)
    if not given:
        # With X-API-Key the other header is a proxy's; alone it may hold the key.
        parts = [value.partition(" ") for value in headers.getlist("Authorization")]
        given = [token.strip() for scheme, _, token in parts if scheme.lower() == "bearer"]
    if len(given) == 1:
        return given[0]
    text = "Show one key only." if given else (
        f"This needs an API key, in the header {HEADER} or as Authorization: Bearer."
    )  # fmt: skip
    raise Problem(NO_KEY, text, headers={"WWW-Authenticate": _REALM})
