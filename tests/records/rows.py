"""Predictions for the log, made without a model."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from crimeguard.domain.category import CATEGORIES
from crimeguard.records.database import Database
from crimeguard.records.entry import Entry, entries_of
from crimeguard.records.moment import to_moment
from crimeguard.records.prediction_log import PredictionLog

BUNDLE = "b" * 64
INCIDENT = {"date_occ": "2023-03-10", "time_occ": 2130, "area": 12, "vict_age": 34}


def entries(
    n: int = 1,
    *,
    inputs: Sequence[Mapping[str, Any]] | None = None,
    dr_no: Sequence[str | None] | None = None,
    at: dt.datetime | None = None,
    variant: str = "champion",
    bundle: str = BUNDLE,
    experiment: str | None = None,
    answered_ids: Sequence[str | None] | None = None,
) -> list[Entry]:
    """Return n entries; the share of the most probable category tells them apart."""
    rng = np.random.default_rng(n)
    probabilities = rng.dirichlet(np.ones(len(CATEGORIES)), size=n)
    texts = [json.dumps(item) for item in inputs or [INCIDENT] * n]
    return list(entries_of(
        probabilities, np.full(n, 2, dtype=np.int64), texts, bundle=bundle, dr_no=dr_no,
        variant=variant, made_at=None if at is None else to_moment(at),
        experiment=experiment, answered_ids=answered_ids,
    ))  # fmt: skip


def write(database: Database, *groups: Sequence[Entry]) -> list[str]:
    """Log entries through the log itself, and return their identifiers."""
    with PredictionLog(database) as log:
        for group in groups:
            log.submit(group).result(timeout=30)
    return [entry.id for group in groups for entry in group]


def kept(database: Database) -> set[str]:
    """Return the identifiers in the log."""
    with database.reading() as connection:
        rows = connection.exec_driver_sql("SELECT id FROM prediction")
        return {row[0] for row in rows}
