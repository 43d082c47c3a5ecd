"""Single predictions without ASGI: from the connection to the desk, and back.

A task, messages, layers of middleware and a framework cost several times what the prediction
costs. So a request for one prediction that has come whole is answered where it came in.
The parts are those of the long way, which any other request takes: the same door, the same
reading, the same desk and the same words; tests hold the two against each other.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.types import Scope

from crimeguard.serve import incident, single
from crimeguard.serve.body import refuse_longer
from crimeguard.serve.desk import Answered
from crimeguard.serve.envelope import request_id_of
from crimeguard.serve.negotiate import JSON
from crimeguard.serve.problem import BROKEN, MEDIA_TYPE, Problem, document
from crimeguard.serve.service import Service

log = logging.getLogger(__name__)

_METHOD: Final = "POST"
_OK: Final = 200
_GONE: Final = 499
# Writes status, media type, body, headers of its own and the request's identifier; False if
# nobody is there any more.
Write = Callable[[int, str, bytes, Mapping[str, str], str], bool]


class Express:
    """Takes requests for one prediction; belongs to one event loop."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def takes(self, scope: Mapping[str, Any]) -> bool:
        """Tell whether a request is one of these."""
        return bool(scope["path"] == single.PATH and scope["method"] == _METHOD)

    def take(self, scope: Scope, body: bytes, write: Write) -> None:
        """Answer a request that has come whole, now or when the log has the prediction."""
        reply = _Reply(self._service, scope, write)
        try:
            self._service.door.admit(scope)
            predictor = single.require_readable(self._service, Request(scope))
            refuse_longer(body, self._service.settings.max_body_bytes)
            reply.asked, text = single.read(body)
            self._service.desk.take(predictor, reply.asked, text, reply.tell)
        except Exception as error:  # noqa: BLE001 -- told to the caller, and to the log
            reply.tell(error)


class _Reply:
    """What is still owed to one request."""

    __slots__ = ("_began", "_scope", "_service", "_write", "asked")

    asked: incident.Request

    def __init__(self, service: Service, scope: Scope, write: Write) -> None:
        self._service = service
        self._scope = scope
        self._write = write
        self._began = time.perf_counter()
        scope["state"]["request_id"] = request_id_of(scope)
        service.metrics.in_progress.inc()

    def tell(self, outcome: Answered | BaseException) -> None:
        """Answer, and count; whatever goes wrong here goes no further."""
        try:
            status = self._say(outcome)
        except Exception as error:  # noqa: BLE001 -- one caller's answer is not another's
            status = self._refuse(error)
        metrics = self._service.metrics
        metrics.in_progress.dec()
        seconds = time.perf_counter() - self._began
        metrics.count_request(single.PATH, _METHOD, status, seconds)
        self._service.requests.tell(
            self._scope["state"], route=single.PATH, method=_METHOD, status=status, seconds=seconds
        )

    def _say(self, outcome: Answered | BaseException) -> int:
        if isinstance(outcome, BaseException):
            return self._refuse(outcome)
        body = single.written(self._service, outcome, self.asked)
        return self._send(_OK, JSON, body, {})

    def _refuse(self, error: BaseException) -> int:
        identifier = self._scope["state"]["request_id"]
        if not isinstance(error, Problem):
            facts = {"facts": {"request_id": identifier}}
            log.error("the request failed", exc_info=error, extra=facts)
            error = Problem(BROKEN, "This is a fault of the server, not of the request.")
        content = orjson.dumps(document(error, single.PATH, identifier))
        return self._send(error.kind.status, MEDIA_TYPE, content, error.headers)

    def _send(self, status: int, kind: str, body: bytes, headers: Mapping[str, str]) -> int:
        there = self._write(status, kind, body, headers, self._scope["state"]["request_id"])
        return status if there else _GONE
