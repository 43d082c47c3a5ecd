"""No answer leaves before the log has it: what is kept of it, and the refusal without a log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson

from crimeguard.domain.block import coarsened
from crimeguard.serve.problem import NO_LOG, Problem


def as_received(record: Mapping[str, Any]) -> str:
    """Write an incident as it was sent, but no finer a place, on one line and without blanks."""
    coarse = coarsened(record)
    try:
        return orjson.dumps(coarse).decode()
    except orjson.JSONEncodeError:  # a whole number of more than 64 bits
        return json.dumps(coarse, ensure_ascii=False, separators=(",", ":"))


def no_log() -> Problem:
    """Return the refusal of whoever needs the log while it cannot be used."""
    return Problem(NO_LOG, "The prediction log cannot be written, so nothing is answered.",
                   headers={"Retry-After": "5"})  # fmt: skip
