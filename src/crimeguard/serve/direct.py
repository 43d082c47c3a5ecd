"""The way of single predictions past the framework: its layers cost as much as the prediction.

The route stands in the router like any other, which documents it, names its methods and
answers whatever is not asked of it in the usual way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from crimeguard.serve.problem import Problem, answer


class Direct:
    """ASGI middleware that takes POST requests of one path to their endpoint.

    To be the innermost: what is said in the layers around it holds for it too.
    """

    def __init__(
        self, app: ASGIApp, path: str, endpoint: Callable[[Request], Awaitable[Response]]
    ) -> None:
        self._app = app
        self._path = path
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        if scope.get("path") != self._path or scope.get("method") != "POST":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await self._endpoint(request)
        except Problem as problem:
            response = answer(request, problem)
        await response(scope, receive, send)
