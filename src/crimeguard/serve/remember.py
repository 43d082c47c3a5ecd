"""No answer leaves before the log has it: what is kept, and how long an answer waits for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from crimeguard.domain.block import coarsened
from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.errors import RecordsError
from crimeguard.domain.prediction import Prediction
from crimeguard.records.entry import Entry, entries_of
from crimeguard.records.prediction_log import PredictionLog
from crimeguard.serve.problem import NO_LOG, Problem

PATIENCE: Final = 15.0  # seconds; a database that hangs must not hold its callers for good


def as_received(record: Mapping[str, Any]) -> str:
    """Write an incident as it was sent, but no finer a place, on one line and without blanks."""
    return json.dumps(coarsened(record), ensure_ascii=False, separators=(",", ":"))


def single_entry(
    prediction: Prediction, bundle: str, record: Mapping[str, Any], dr_no: str | None
) -> Entry:
    """Return what the log keeps of one answer, with its identifier."""
    shares = np.array([[prediction.probabilities[name] for name in CATEGORIES]])
    level = np.array([prediction.level], dtype=np.int64)
    (entry,) = entries_of(shares, level, [as_received(record)], bundle=bundle, dr_no=[dr_no])
    return entry


async def remember(log: PredictionLog | None, entry: Entry) -> None:
    """Return once the entry is committed; Problem (503) if it cannot be."""
    if log is None:
        return
    try:
        async with asyncio.timeout(PATIENCE):
            await asyncio.wrap_future(log.submit([entry]))
    except (RecordsError, TimeoutError):
        raise no_log() from None


def no_log() -> Problem:
    """Return the refusal of whoever needs the log while it cannot be used."""
    return Problem(NO_LOG, "The prediction log cannot be written, so nothing is answered.",
                   headers={"Retry-After": "5"})  # fmt: skip
