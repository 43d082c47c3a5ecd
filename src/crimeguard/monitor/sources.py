"""Where a window comes from: the prediction log, or a file of incidents."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from crimeguard.domain.category import CATEGORIES
from crimeguard.features.columns import Columns, Ints
from crimeguard.ingest.coded import category_places
from crimeguard.ingest.source import read_file
from crimeguard.monitor.observed import UNKNOWN, Observed
from crimeguard.records.database import Database
from crimeguard.records.entry import CHALLENGER
from crimeguard.records.window import Window, count_answered, read_window
from crimeguard.registry.bundle import Bundle
from crimeguard.train.model import CHUNK
from crimeguard.train.params import MonitorParams

# Enough to know a share to a third of a percent.
_MOST_OLDER: Final = 20_000


def observe_log(
    database: Database,
    champion: Bundle,
    params: MonitorParams,
    *,
    now: dt.datetime,
    since: dt.datetime | None = None,
) -> Observed:
    """Read the champion's own answers of the last `window_days`, or from `since` on.

    What another bundle answered says nothing of this one. Labels count once their
    prediction is `maturity_days` old; unless `since` is given, those of the `window_days`
    before that are read as well, which may all be older than the window.
    """
    mature = now - dt.timedelta(days=params.maturity_days)
    window = dt.timedelta(days=params.window_days)

    def read(first: dt.datetime, until: dt.datetime, most: int) -> Observed:
        logged = read_window(database, since=first, until=until, most=most)
        logged = logged.rows((logged.bundle == champion.sha256).to_numpy())
        label = np.where((logged.made_at <= mature).to_numpy(), logged.label, UNKNOWN)
        found = Observed.of(logged.frame, logged.level, logged.probabilities, label)
        return replace(found, share=_share(database, logged, until))

    if since is not None:
        return read(since, now, params.max_rows)
    older = read(mature - window, now - window, min(params.max_rows, _MOST_OLDER))
    own = read(now - window, now, params.max_rows)
    return replace(own, older=older.take(older.labelled))


def _share(database: Database, logged: Window, until: dt.datetime) -> float:
    """Return the champion's share of what was answered in its window.

    In a split chance alone says who answers, so that its part is as the whole but for size.
    """
    if not len(logged):
        return 1.0
    others = count_answered(database, CHALLENGER, since=logged.made_at[0], until=until)
    return len(logged) / (len(logged) + others)


def observe_file(
    path: Path,
    champion: Bundle,
    params: MonitorParams,
    *,
    drop_bad: bool = False,
    on_rows: Callable[[int], None] = lambda _: None,
) -> Observed:
    """Let the champion answer a file of incidents; its crime codes, if any, are the labels."""
    reading = read_file(path)
    frame = reading.drop_bad() if drop_bad else reading.require_clean(path.name)
    return observe_frame(frame.tail(params.max_rows), champion, on_rows=on_rows)


def observe_frame(
    frame: pl.DataFrame, champion: Bundle, *, on_rows: Callable[[int], None] = lambda _: None
) -> Observed:
    """Let the champion answer a canonical frame."""
    columns = Columns.from_frame(frame)
    parts = []
    for start in range(0, len(columns), CHUNK):
        part = columns.rows(start, min(start + CHUNK, len(columns)))
        parts.append(champion.model.probabilities(part))
        on_rows(len(part))
    answers = np.concatenate(parts) if parts else np.zeros((0, len(CATEGORIES)))
    return Observed.of(frame, columns.level, answers, _labels(frame))


def _labels(frame: pl.DataFrame) -> Ints:
    """Return the places of the categories; a code that no table knows is no label."""
    return category_places(frame).fill_null(UNKNOWN).to_numpy()
