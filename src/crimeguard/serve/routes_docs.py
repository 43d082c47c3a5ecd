"""GET /docs and /openapi.json; / leads to the former."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from crimeguard.serve.docs import render
from crimeguard.serve.negotiate import JSON

router = APIRouter(include_in_schema=False)

_MEDIA_TYPES: Final = {"docs.css": "text/css", "docs.js": "text/javascript"}


@router.get("/")
async def root() -> Response:
    """Lead a browser to the documentation."""
    return RedirectResponse("/docs", status_code=307)


@router.get("/docs")
async def docs(request: Request) -> Response:
    """Return the documentation page."""
    return HTMLResponse(render(request.app.openapi()))


@router.get("/docs/docs.css")
async def style() -> Response:
    """Return the page's style sheet."""
    return _asset("docs.css")


@router.get("/docs/docs.js")
async def script() -> Response:
    """Return what sends the page's forms."""
    return _asset("docs.js")


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """Return the OpenAPI document."""
    return Response(orjson.dumps(request.app.openapi()), media_type=JSON)


def _asset(name: str) -> Response:
    return Response(_read(name), media_type=_MEDIA_TYPES[name])


@cache
def _read(name: str) -> bytes:
    return (files("crimeguard.serve") / "static" / name).read_bytes()
