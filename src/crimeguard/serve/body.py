"""Strict reading of request bodies: bounded in size and depth, JSON and nothing like it."""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive

from crimeguard.serve.problem import NOT_JSON, TOO_LARGE, WRONG_TYPE, Problem

MOST_DEPTH: Final = 16  # an incident needs three: list, object, list of MO codes
_SAME: Final = frozenset({int, bool, type(None)})  # to every reader
_EXACT: Final = 2.0**53  # from here on a whole number may have been rounded


def media_type(request: Request) -> str:
    """Return the content type without its parameters, '' if there is none."""
    return _field(request, b"content-type").partition(";")[0].strip().lower()


def _field(request: Request, name: bytes) -> str:
    """Return a field of the header, '' without it; in a third of the framework's time."""
    for key, value in request.scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return ""


def require_media_type(request: Request, *accepted: str) -> str:
    """Return the content type if it is one of `accepted`, else refuse with 415."""
    given = media_type(request)
    coding = _field(request, b"content-encoding").strip().lower()
    if coding not in ("", "identity"):
        raise Problem(WRONG_TYPE, f"The content encoding {coding[:40]!r} is not read here; send "
                      "the body as it is.", headers={"Accept-Encoding": "identity"})  # fmt: skip
    if given in accepted:
        return given
    shown = f"The content type {given[:80]!r} is not read here" if given else "No content type"
    raise Problem(WRONG_TYPE, f"{shown}; send {', '.join(accepted)}.",
                  headers={"Accept": ", ".join(accepted)})  # fmt: skip


async def read_body(request: Request, limit: int) -> bytes:
    """Read the body; refuse with 413 as soon as it is known to be above `limit` bytes."""
    refuse_announced(request, limit)
    receive = request.receive
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        more = message.get("more_body", False)
    return b"".join(chunks)


def refuse_announced(request: Request, limit: int) -> None:
    """Refuse with 413 a body that says itself that it is above `limit` bytes."""
    announced = _field(request, b"content-length")
    if announced.isdecimal() and int(announced[:20]) > limit:
        raise _too_large(limit)


def refuse_longer(body: bytes, limit: int) -> None:
    """Refuse with 413 a body that is above `limit` bytes."""
    if len(body) > limit:
        raise _too_large(limit)


def limited(receive: Receive, limit: int) -> Receive:
    """Wrap an ASGI `receive` that refuses to pass on more than `limit` bytes of body."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise _too_large(limit)
        return message

    return counted


def parse_json(body: bytes) -> Any:
    """Parse one JSON document; Problem if it is none, or could be read in two ways."""
    if b"\\" not in body:
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            pass  # what is wrong with it is found below
        else:
            # Without a backslash every quotation mark begins or ends a string; a name that
            # comes twice has left some over.
            if type(value) is dict and 2 * _strings(value) == body.count(b'"'):
                return value
    return _strict(body)


def _strings(record: dict[str, Any]) -> int:
    """Count the strings of an object, names too; -1 if it is not of the plainest kind.

    That holds strings, lists of them, and numbers that every reader takes for the same.
    """
    count = len(record)
    for value in record.values():
        kind = type(value)
        if kind is str:
            count += 1
        elif kind is list and all(type(item) is str for item in value):
            count += len(value)
        elif kind not in _SAME and not (kind is float and 0 < abs(value) < _EXACT):
            return -1
    return count


def _strict(body: bytes) -> Any:
    """Parse what may be damaged, or mean two things.

    The standard library lets us see names that come twice and numbers that are none;
    orjson is strict about what that library lets pass: encodings, halves of letters.
    """
    try:
        value = json.loads(
            body, object_pairs_hook=_object, parse_float=_number, parse_constant=_constant
        )
    except json.JSONDecodeError as error:
        raise _not_json(_position(body, error)) from None
    except UnicodeDecodeError:
        raise _not_json("It is not encoded as UTF-8.") from None
    except (ValueError, RecursionError):
        # Left are whole numbers of thousands of digits, and a nesting of thousands.
        raise _not_json("It holds a number that is too large, or is nested too deep.") from None
    if _deeper_than(value, MOST_DEPTH):
        raise _not_json(f"It is nested more than {MOST_DEPTH} deep.")
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _not_json("It holds text that is not Unicode.") from None
    return value


def _position(body: bytes, error: json.JSONDecodeError) -> str:
    if not body.strip():
        return "It is empty."
    return f"It stops being JSON at line {error.lineno}, column {error.colno}."


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _not_json(f"It names {twice[:80]!r} twice in one object.")
    return result


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _not_json(f"{text[:40]} is too large for a number.")
    return value


def _constant(text: str) -> NoReturn:
    raise _not_json(f"{text} is not a JSON number.")


def _deeper_than(value: Any, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    if not depth:
        return True
    children = value.values() if isinstance(value, dict) else value
    return any(_deeper_than(child, depth - 1) for child in children)


def _not_json(why: str) -> Problem:
    return Problem(NOT_JSON, f"The body cannot be read as JSON. {why}")


def _too_large(limit: int) -> Problem:
    return Problem(TOO_LARGE, f"The body is larger than the {limit:,} bytes that are accepted.",
                   headers={"Connection": "close"})  # fmt: skip
