"""Which of the forms of an answer a caller wants: the header Accept (RFC 9110, 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.requests import Request

from crimeguard.serve.problem import NOT_ACCEPTABLE, Problem

JSON: Final = "application/json"


def chosen_form(request: Request, offered: Sequence[str]) -> str:
    """Return the media type that the caller likes best; of equals the first of `offered`.

    Problem (406) if none of them is wanted.
    """
    wanted = [_range(part) for line in request.headers.getlist("accept")
              for part in line.lower().split(",") if part.strip()]  # fmt: skip
    weights = [_weight(kind, wanted) for kind in offered]
    best = max(weights)
    if best <= 0:
        raise Problem(NOT_ACCEPTABLE, f"The answer is given as {', '.join(offered)}.")
    return offered[weights.index(best)]


def _range(part: str) -> tuple[str, float]:
    """Read one element: a media range and its weight, 1 if it has none that can be read."""
    name, *parameters = (item.strip() for item in part.split(";"))
    for item in parameters:
        key, _, value = item.partition("=")
        if key.strip() == "q":
            try:
                return name, min(1.0, max(0.0, float(value)))
            except ValueError:
                break
    return name, 1.0


def _weight(kind: str, wanted: Sequence[tuple[str, float]]) -> float:
    """Return the weight of the most specific range that a media type falls into."""
    if not wanted:
        return 1.0
    weights = dict(reversed(wanted))
    whole = f"{kind.partition('/')[0]}/*"
    return next((weights[name] for name in (kind, whole, "*/*") if name in weights), 0.0)
