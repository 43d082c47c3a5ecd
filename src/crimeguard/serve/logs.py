"""What the server writes to stderr: lines of text, or one JSON object a line.

Nothing that a caller sent is in it but the request's own identifier: no path (the route
instead), no query, no header, no body, no key, no address. The text of an exception may quote
what a caller sent, so of exceptions only kinds and places are written.

Not every request has a line. Writing one takes as long as a tenth of a prediction, and
/metrics counts them all: told are those that failed or were slow, a few a second of each, and
how many were left out.
"""

from __future__ import annotations

import datetime as dt
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Final

import orjson

from crimeguard.domain.errors import UsageError
from crimeguard.serve.limits import Bucket, Rate

log = logging.getLogger(__name__)

SLOW_SECONDS: Final = 1.0
FORMATS: Final = ("text", "json")
# Refusals come in crowds, and must not hide what the server itself does wrong.
_LINES: Final = Rate(5, 50)
_FAILED: Final = 500
_REFUSED: Final = 400


def configure(kind: str) -> None:
    """Let everything that is logged go to stderr in one of FORMATS; UsageError for another."""
    if kind not in FORMATS:
        raise UsageError(f"CRIMEGUARD_LOG_FORMAT is {kind[:80]!r}.",
                         why=f"It is one of {', '.join(FORMATS)}.",
                         fix="Set it to one of these, or unset it.")  # fmt: skip
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if kind == "json" else TextLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("uvicorn.error").addFilter(_few_warnings(Bucket(_LINES, time.monotonic())))
    logging.captureWarnings(capture=True)
    threading.excepthook = _thread_failed


class TextLines(logging.Formatter):
    """Time, level, logger, message, and what is known of a request as name=value."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record; lines follow only for an exception."""
        facts = "".join(f" {name}={value}" for name, value in _facts(record).items())
        line = f"{_time(record)} {record.levelname} {record.name}: {_message(record)}{facts}"
        return "\n".join([line.replace("\n", "\\n").replace("\r", "\\r"), *_exception(record)])


class JsonLines(logging.Formatter):
    """The same as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        document: dict[str, Any] = {
            "time": _time(record), "level": record.levelname, "logger": record.name,
            "message": _message(record), **_facts(record),
        }  # fmt: skip
        if exception := list(_exception(record)):
            document["exception"] = exception
        return orjson.dumps(document, default=str).decode()


class Requests:
    """Tells of requests that failed or were slow; to be used from one thread.

    Parameters
    ----------
    clock
        Tells seconds; tests put their own here.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        now = clock()
        self._room = {level: Bucket(_LINES, now) for level in (logging.INFO, logging.WARNING)}
        self._left_out = dict.fromkeys(self._room, 0)

    def tell(
        self, state: dict[str, Any], *, route: str, method: str, status: int, seconds: float
    ) -> None:
        """Tell of one answered request, if there is reason to.

        Parameters
        ----------
        state
            The request's own, in which others have put its identifier and its key's name.
        """
        if status < _REFUSED and seconds < SLOW_SECONDS:
            return
        level = logging.WARNING if status >= _FAILED else logging.INFO
        if self._room[level].take(self._clock()):
            self._left_out[level] += 1
            return
        facts = {
            "request_id": state.get("request_id", ""), "route": route, "method": method,
            "status": status, "seconds": round(seconds, 6),
        }  # fmt: skip
        if "api_key" in state:
            facts["key"] = state["api_key"]
        if self._left_out[level]:
            facts["left_out"] = self._left_out[level]
            self._left_out[level] = 0
        log.log(level, "request answered", extra={"facts": facts})


def _few_warnings(room: Bucket) -> Callable[[logging.LogRecord], bool]:
    """Let few warnings pass: uvicorn writes one for whatever a stranger sends that is no HTTP."""
    return lambda record: record.levelno != logging.WARNING or not room.take(time.monotonic())


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    facts: dict[str, Any] = getattr(record, "facts", {})
    return facts


def _time(record: logging.LogRecord) -> str:
    moment = dt.datetime.fromtimestamp(record.created, dt.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _message(record: logging.LogRecord) -> str:
    text = record.getMessage()
    # What follows there shows an exception, with its text.
    return text.partition("\n")[0] if record.name == "asyncio" else text.rstrip("\n")


def _exception(record: logging.LogRecord) -> Iterator[str]:
    """Write kinds and places, the exception's own and of those behind it."""
    error = record.exc_info[1] if record.exc_info else None
    while error is not None:
        yield f"{type(error).__module__}.{type(error).__qualname__}"
        yield from _places(error.__traceback__)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _places(at: TracebackType | None) -> Iterator[str]:
    for frame in traceback.extract_tb(at):
        yield f"  {frame.filename}:{frame.lineno} in {frame.name}"


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_type is SystemExit:
        return
    error = failed.exc_value
    name = failed.thread.name if failed.thread is not None else ""
    log.error("the thread %s failed", name, exc_info=error or sys.exc_info())
