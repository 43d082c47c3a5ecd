"""Predictions and labels for the log, and homes as a killed retraining leaves them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from crimeguard import pipeline
from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.codes import category_of
from crimeguard.domain.field import CANONICAL_NAMES
from crimeguard.domain.incident import INCIDENT_FIELDS
from crimeguard.pipeline import Trained
from crimeguard.records.database import Database, open_database
from crimeguard.records.entry import Entry, entries_of
from crimeguard.records.labels import Label, add_labels
from crimeguard.records.ledger import Ledger, LedgerEntry
from crimeguard.records.moment import to_moment
from crimeguard.registry.judging import Court
from crimeguard.registry.store import Registry, open_registry
from crimeguard.retrain.run import Retraining
from crimeguard.settings import Settings
from crimeguard.train.params import Params
from tests.conftest import copy_home
from tests.records import rows

DAY = dt.timedelta(days=1)


def traffic(n: int, *, seed: int = 5, start: dt.date, days: int = 14) -> pl.DataFrame:
    """Return simulated rows in the portal's form, with numbers of their own."""
    from crimeguard.ingest.simulator import simulate

    made = pl.concat(simulate(n, seed=seed, start=start, end=start + (days - 1) * DAY))
    return made.with_columns(pl.concat_str(pl.lit("9"), "DR_NO").alias("DR_NO"))


def inputs_of(exported: pl.DataFrame) -> list[dict[str, Any]]:
    """Return what a caller knows of each incident."""
    known = [name for name in exported.columns if CANONICAL_NAMES[name] in INCIDENT_FIELDS]
    return exported.select(known).to_dicts()


def predictions(
    exported: pl.DataFrame, *, at: dt.datetime, bundle: str = rows.BUNDLE, level: int = 2,
    numbered: bool = True, probabilities: np.ndarray[Any, np.dtype[np.float64]] | None = None,
) -> list[Entry]:  # fmt: skip
    """Return an entry of the log for each row."""
    n = exported.height
    if probabilities is None:
        probabilities = np.full((n, len(CATEGORIES)), 1 / len(CATEGORIES))
    return list(entries_of(
        probabilities, np.full(n, level, np.int64), [json.dumps(x) for x in inputs_of(exported)],
        bundle=bundle, dr_no=exported["DR_NO"] if numbered else None, made_at=to_moment(at),
    ))  # fmt: skip


def label(
    database: Database, ids: list[str], exported: pl.DataFrame, *, codes: bool = True
) -> None:
    """Tell what was true of each."""
    told = []
    for identifier, text in zip(ids, exported["Crm Cd"], strict=True):
        category = category_of(int(text))
        assert category is not None
        told.append(Label(identifier, category.value, int(text) if codes else None, "tests"))
    add_labels(database, told)


def remember(database: Database, exported: pl.DataFrame, *, at: dt.datetime, **kind: Any) -> None:
    """Log a prediction of each row, and its label."""
    codes = kind.pop("codes", True)
    ids = rows.write(database, predictions(exported, at=at, **kind))
    label(database, ids, exported, codes=codes)


def alarm(ledger: Ledger, champion: str, *statuses: str) -> None:
    """Write verdicts on the champion."""
    for status in statuses or ("critical", "critical", "critical"):
        ledger.append("verdict", subject=champion, who="monitor", why=status,
                      evidence={"status": status, "model_status": status})  # fmt: skip


@contextmanager
def retraining(
    settings: Settings, params: Params, api_url: str | None = None
) -> Iterator[Retraining]:
    """Open what a retraining works with, as a process of its own would."""
    database = open_database(settings)
    try:
        court = Court(open_registry(settings), Ledger(database), settings, params)
        yield Retraining(court, database, api_url)
    finally:
        database.close()


def story(court: Court) -> list[tuple[str, str | None]]:
    """Return kind and decision of what retrainings wrote; verdicts and first promotion not."""
    lines = court.ledger.entries()
    return [(line.kind, line.decision_id) for line in lines if line.decision_id]


@dataclass
class Frozen:
    """Copies of a home after each step, as kill -9 at that moment would have left it."""

    running: Path
    folder: Path
    homes: dict[str, Path] = field(default_factory=dict)

    def keep(self, step: str) -> None:
        """Keep the home as it is now."""
        if step not in self.homes:
            self.homes[step] = self.folder / step.replace(" ", "-")
            copy_home(self.running, self.homes[step], at=self.running)

    def watch(self, patch: pytest.MonkeyPatch) -> list[Trained]:
        """Keep the home after every line, registration and move of the alias from now on."""
        append, promote, register = Ledger.append, Registry.promote, Registry.register
        train = pipeline.train
        made: list[Trained] = []

        def appended(book: Ledger, kind: str, **known: Any) -> LedgerEntry:
            entry = append(book, kind, **known)
            self.keep(kind)
            return entry

        def promoted(registry: Registry, number: str) -> str | None:
            old = promote(registry, number)
            self.keep("alias")
            return old

        def registered(registry: Registry, *given: Any, **known: Any) -> str:
            number = register(registry, *given, **known)
            self.keep("registered")
            return number

        def trained(*given: Any, **known: Any) -> Trained:
            self.keep("snapshot")
            made.append(train(*given, **known))
            self.keep("fitted")
            return made[-1]

        patch.setattr(Ledger, "append", appended)
        patch.setattr(Registry, "promote", promoted)
        patch.setattr(Registry, "register", registered)
        patch.setattr(pipeline, "train", trained)
        return made
