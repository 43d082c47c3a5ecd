"""Errors as RFC 9457 problems: what every refusal of the API looks like.

Every word of a problem is written here or in our own errors. The text of an exception
of Python or of a library is never passed on: it means nothing to a caller, and may tell
a stranger about this machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from crimeguard.domain.errors import BadValue

MEDIA_TYPE: Final = "application/problem+json"
MOST_FLAWS: Final = 20  # named in one answer
# Below it errors carry the member `error`, as the Open Inference Protocol wants it.
_PROTOCOL: Final = "/v2/"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem; its `type` leads to its description on the docs page."""

    slug: str
    status: int
    title: str
    meaning: str

    @property
    def uri(self) -> str:
        """The `type` member: a reference relative to the API's own address."""
        return f"/docs#problem-{self.slug}"


NOT_HTTP: Final = Kind(
    "not-http", 400, "The request is not HTTP as it is read here",
    "The request line or the header is damaged, or can be read in two ways (two lengths, a "
    "length and chunks); the connection is closed.",
)  # fmt: skip
NOT_JSON: Final = Kind(
    "not-json", 400, "The body is not JSON",
    "The body is no JSON document, or one that means different things to different readers "
    "(NaN, Infinity, a name twice, a number too large).",
)  # fmt: skip
BAD_FORM: Final = Kind(
    "bad-form", 400, "The form cannot be read",
    "A multipart body is damaged, or does not hold exactly one file in the field `file`.",
)  # fmt: skip
NO_KEY: Final = Kind(
    "no-key", 401, "An API key is needed",
    "The request shows no API key, several, or one that is not accepted here.",
)  # fmt: skip
WRONG_SCOPE: Final = Kind(
    "wrong-scope", 403, "The API key may not do this",
    "The key is accepted here, but lacks the scope that this path needs.",
)  # fmt: skip
WRONG_HOST: Final = Kind(
    "wrong-host", 421, "The request is not for this server",
    "Without API keys only names of this machine are answered: another site's name can be made "
    "to lead here, and its pages would then be taken for ours.",
)  # fmt: skip
NOT_FOUND: Final = Kind(
    "not-found", 404, "There is nothing here", "No such path; /docs lists the paths there are."
)
WRONG_METHOD: Final = Kind(
    "wrong-method", 405, "The method is not allowed",
    "The path exists, but not for this method; the header Allow names those it has.",
)  # fmt: skip
NOT_ACCEPTABLE: Final = Kind(
    "not-acceptable", 406, "The answer is not given in this form",
    "The header Accept names no form of data in which this path answers.",
)  # fmt: skip
TOO_SLOW: Final = Kind(
    "too-slow", 408, "The body did not arrive in time",
    "The request began, and its body did not come within the time that the server waits.",
)  # fmt: skip
CONFLICT: Final = Kind(
    "conflict", 409, "This cannot be done now",
    "The request is well-formed, but does not fit the state that the server is in.",
)  # fmt: skip
TOO_LARGE: Final = Kind(
    "too-large", 413, "The body is too large",
    "The body, the file in it or its rows are more than this server accepts at once.",
)  # fmt: skip
WRONG_TYPE: Final = Kind(
    "wrong-media-type", 415, "The content type is not supported",
    "The header Content-Type is missing or names a form of data that is not read here.",
)  # fmt: skip
BAD_INCIDENT: Final = Kind(
    "bad-incident", 422, "The incident cannot be read",
    "The JSON is well-formed but does not describe incidents; `errors` points at each value.",
)  # fmt: skip
BAD_TENSOR: Final = Kind(
    "bad-tensor", 400, "The tensors cannot be read",
    "A request of the Open Inference Protocol that is not in its form, or with other tensors "
    "than the model's; `errors` points at each.",
)  # fmt: skip
BAD_FILE: Final = Kind(
    "bad-file", 422, "The file cannot be read",
    "An uploaded file is damaged, is no table of incidents, or holds values that cannot be "
    "understood; `errors` names rows and columns.",
)  # fmt: skip
BAD_QUERY: Final = Kind(
    "bad-query", 422, "The query cannot be read", "A parameter behind the `?` has no such value."
)
BAD_LABEL: Final = Kind(
    "bad-label", 422, "The label cannot be read",
    "The JSON is well-formed but does not describe labels; `errors` points at each value.",
)  # fmt: skip
BAD_EXPERIMENT: Final = Kind(
    "bad-experiment", 422, "The experiment cannot be read",
    "The JSON is well-formed but describes no experiment that can be made; `errors` says where.",
)  # fmt: skip
NO_PREDICTION: Final = Kind(
    "unknown-prediction", 404, "There is no such prediction",
    "A `prediction_id` is not in the log, or no longer; no label of the request was stored.",
)  # fmt: skip
TOO_MANY: Final = Kind(
    "too-many", 429, "Too many requests",
    "The API key has used up what it may ask in this time; Retry-After says when there is more.",
)  # fmt: skip
BROKEN: Final = Kind(
    "internal", 500, "The server failed",
    "A fault of this server; its log says more under the request id.",
)  # fmt: skip
HEADER_TOO_LARGE: Final = Kind(
    "header-too-large", 431, "The header is too large",
    "The request line and the header fields together are more than this server accepts.",
)  # fmt: skip
NO_MODEL: Final = Kind(
    "no-model", 503, "No model is loaded yet",
    "The server has no verified bundle; it looks for one every few seconds.",
)  # fmt: skip
BUSY: Final = Kind(
    "busy", 503, "The server is busy", "All workers are taken and the queue is full; ask again."
)
LEAVING: Final = Kind(
    "leaving", 503, "The server is going away",
    "It was told to end; requests should be sent to another one.",
)  # fmt: skip
NO_LOG: Final = Kind(
    "no-log", 503, "The prediction log cannot be written",
    "No prediction is answered that is not in the log, and no label is taken; ask again.",
)  # fmt: skip
NO_REGISTRY: Final = Kind(
    "no-registry", 503, "The model registry does not answer",
    "An experiment needs a version of it; predictions do not, and go on.",
)  # fmt: skip
TOO_LATE: Final = Kind(
    "too-late", 504, "The answer is not ready in time",
    "The request waited or was computed longer than the server lets a caller wait.",
)  # fmt: skip
KINDS: Final = (
    NOT_HTTP, NOT_JSON, BAD_FORM, NO_KEY, WRONG_SCOPE, NOT_FOUND, WRONG_METHOD, NOT_ACCEPTABLE,
    TOO_SLOW, CONFLICT, TOO_LARGE, WRONG_TYPE, BAD_INCIDENT, BAD_TENSOR, BAD_FILE, BAD_QUERY,
    BAD_LABEL, BAD_EXPERIMENT, NO_PREDICTION, WRONG_HOST, TOO_MANY, HEADER_TOO_LARGE, BROKEN,
    NO_MODEL, BUSY, LEAVING, NO_LOG, NO_REGISTRY, TOO_LATE,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is wrong, and a JSON pointer (RFC 6901) to where it stands."""

    pointer: str
    detail: str
    row: int | None = None
    column: str | None = None

    def as_member(self) -> dict[str, Any]:
        """Return the flaw as an element of `errors`."""
        member: dict[str, Any] = {"pointer": self.pointer, "detail": self.detail}
        if self.row is not None:
            member |= {"row": self.row, "column": self.column}
        return member


class Problem(Exception):  # noqa: N818 -- RFC 9457 calls it a problem
    """A refusal; `detail` and `flaws` are answered word for word."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        flaws: Sequence[Flaw] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.flaws = tuple(flaws[:MOST_FLAWS])
        self.headers = dict(headers or {})


def pointer(*parts: str | int) -> str:
    """Join names and positions into a JSON pointer."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def flaw_of(bad: BadValue, *prefix: str | int) -> Flaw:
    """Point at a value of an incident that could not be repaired."""
    shown = f"{bad.value!r} " if bad.value else ""
    return Flaw(pointer(*prefix, bad.column), f"{shown}{bad.reason}.")


def answer(request: Request, problem: Problem) -> Response:
    """Write a problem as a response to `request`."""
    identifier = getattr(request.state, "request_id", "")
    content = orjson.dumps(document(problem, request.scope["path"], identifier))
    return Response(content, problem.kind.status, problem.headers, MEDIA_TYPE)


def document(problem: Problem, path: str, request_id: str) -> dict[str, Any]:
    """Return the members of a problem that a request to `path` met."""
    kind = problem.kind
    members: dict[str, Any] = {
        "type": kind.uri,
        "title": kind.title,
        "status": kind.status,
        "detail": problem.detail,
        "instance": path,
        "request_id": request_id,
        "errors": [flaw.as_member() for flaw in problem.flaws],
    }
    if f"{path}/".startswith(_PROTOCOL):
        members["error"] = _in_a_sentence(problem)
    return members


def _in_a_sentence(problem: Problem) -> str:
    """Say all of a problem in one text: clients of the protocol show nothing else."""
    listed = [f"{flaw.pointer or 'The body'} {flaw.detail}" for flaw in problem.flaws[:3]]
    more = len(problem.flaws) - len(listed)
    return " ".join([problem.detail, *listed, *([f"And {more} more."] if more else [])])


def install(app: FastAPI) -> None:
    """Let every refusal of the app, its own and the framework's, leave as a problem."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)


_OF_STATUS: Final = {
    HTTPStatus.NOT_FOUND: (NOT_FOUND, "There is nothing at this path; /docs lists what there is."),
    HTTPStatus.METHOD_NOT_ALLOWED: (WRONG_METHOD, "This path does not take this method."),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (TOO_LARGE, "Send less at once."),
    HTTPStatus.BAD_REQUEST: (BAD_FORM, "The body cannot be read as a multipart form."),
}


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 -- registered for this class only
    return answer(request, error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 -- registered for this class only
    fallback = (BROKEN, "The server failed to answer this request.")
    kind, detail = _OF_STATUS.get(HTTPStatus(error.status_code), fallback)
    headers = dict(error.headers or {})
    if kind is WRONG_METHOD:
        headers["Allow"] = ", ".join(_methods(request))
    return answer(request, Problem(kind, detail, headers=headers))


def _methods(request: Request) -> list[str]:
    """Return all methods of the path; the framework names those of one route alone."""
    routes = iter_route_contexts(request.app.routes)
    return sorted({
        method for route in routes
        if route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    })  # fmt: skip


async def _on_validation_error(request: Request, _: Exception) -> Response:
    return answer(request, Problem(BAD_QUERY, "A parameter of this request cannot be read."))
