"""Who may call which route, where API keys are in use.

Everything needs a key that is not said to be open here, unknown paths too: a stranger
cannot even learn which paths there are.
"""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from crimeguard.serve.keys import Key, KeyRing, Scope
from crimeguard.serve.problem import NO_KEY, WRONG_SCOPE, Problem, answer

HEADER: Final = "X-API-Key"
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


class Guard:
    """ASGI middleware that lets nobody pass without the key that a route needs."""

    def __init__(self, app: ASGIApp, keys: KeyRing) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401 or 403 without reading its body."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            key = self._admit(scope)
        except Problem as problem:
            await answer(Request(scope), problem)(scope, receive, send)
            return
        if key is not None:
            # The name is for logs and records; the key itself goes no further.
            scope.setdefault("state", {})["api_key"] = key.name
        await self._app(scope, receive, send)

    def _admit(self, scope: Connection) -> Key | None:
        route = _route(scope["path"])
        if route is not None and NEEDS[route] is None:
            return None
        key = self._keys.find(_shown(Headers(scope=scope)))
        if key is None:
            raise Problem(NO_KEY, "This API key is not accepted here.",
                          headers={"WWW-Authenticate": f'{_REALM}, error="invalid_token"'},
                          )  # fmt: skip
        needed = None if route is None else NEEDS[route]
        if needed is not None and needed not in key.scopes:
            challenge = f'{_REALM}, error="insufficient_scope", scope="{needed}"'
            detail = f"The key {key.name!r} does not have the scope {needed.value!r}."
            raise Problem(WRONG_SCOPE, detail, headers={"WWW-Authenticate": challenge})
        return key


def _route(path: str) -> str | None:
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
