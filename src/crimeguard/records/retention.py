"""What is kept how long, and the log as a file."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source
from sqlalchemy import Select, and_, delete, func, or_, select

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.errors import RecordsError
from crimeguard.domain.level import InformationLevel
from crimeguard.ingest.writer import replacing
from crimeguard.records import moment
from crimeguard.records.database import Database
from crimeguard.records.tables import LABEL, PREDICTION
from crimeguard.records.window import chosen_between, labelled_by
from crimeguard.repeating import Repeating

log = logging.getLogger(__name__)

_STEP: Final = 5_000  # rows of one transaction: a writer waits some 50 ms for it
_EXPORTED: Final = 20_000  # rows in memory while a file is written
_DAY: Final = 24 * 60 * 60.0
_TIME: Final = pl.Datetime("us", "UTC")
_SHARES: Final = tuple(f"p_{name}" for name in CATEGORIES)
_BEFORE: Final = {
    "prediction_id": pl.String, "made_at": _TIME, "bundle": pl.String, "variant": pl.String,
    "information_level": pl.String, "prediction": pl.String, "confidence": pl.Float64,
}  # fmt: skip
_BEHIND: Final = {
    "dr_no": pl.String, "input": pl.String, "label": pl.String, "label_code": pl.Int32,
    "labelled_at": _TIME, "experiment": pl.String, "answered_id": pl.String,
}  # fmt: skip
EXPORT_SCHEMA: Final[dict[str, Any]] = {**_BEFORE, **dict.fromkeys(_SHARES, pl.Float64), **_BEHIND}


def prune(
    database: Database, older_than_days: int, *, on_progress: Callable[[int], None] | None = None
) -> int:
    """Delete predictions older than so many days, with their labels; return how many.

    The ledger is never pruned. Others may write meanwhile.
    """
    limit = moment.to_moment(dt.datetime.now(dt.UTC) - dt.timedelta(days=older_than_days))
    oldest = (
        select(PREDICTION.c.id).where(PREDICTION.c.made_at < limit)
        .order_by(PREDICTION.c.made_at).limit(_STEP)
    )  # fmt: skip
    deleted = 0
    while True:
        with database.writing() as connection:
            ids = connection.scalars(oldest).all()
            connection.execute(delete(LABEL).where(LABEL.c.prediction_id.in_(ids)))
            connection.execute(delete(PREDICTION).where(PREDICTION.c.id.in_(ids)))
        deleted += len(ids)
        if on_progress is not None:
            on_progress(len(ids))
        if len(ids) < _STEP:
            return deleted


class Retention:
    """Prunes the log at once and then every day, in a thread."""

    def __init__(self, database: Database, days: int, *, every: float = _DAY) -> None:
        self._database = database
        self._days = days
        self._repeating = Repeating("retention", self._prune, every)

    def start(self) -> None:
        """Begin."""
        self._repeating.start()

    def close(self) -> None:
        """End; what is being deleted is left to the next time."""
        self._repeating.close()

    def _prune(self) -> None:
        try:
            deleted = prune(self._database, self._days)
        except RecordsError as error:
            log.warning("old predictions cannot be deleted: %s", error)
        else:
            if deleted:
                log.info("%d predictions older than %d days deleted", deleted, self._days)


def export_log(
    database: Database,
    path: Path,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Write the predictions of all variants, with their newest labels, as one Parquet file.

    The columns are those of EXPORT_SCHEMA; rows are in the order of `made_at`, and memory
    does not grow with them. A file is written at once or not at all. Returns the rows.
    """
    written = 0

    def counted() -> Iterator[pl.DataFrame]:
        nonlocal written
        for frame in _frames(database, since, until):
            yield frame
            written += frame.height
            if on_progress is not None:
                on_progress(frame.height)

    def source(*_: Any) -> Iterator[pl.DataFrame]:
        return counted()

    with replacing(path) as file:
        register_io_source(source, schema=EXPORT_SCHEMA).sink_parquet(file)
    return written


def _frames(
    database: Database, since: dt.datetime | None, until: dt.datetime | None
) -> Iterator[pl.DataFrame]:
    """Page by the last row seen: no transaction stays open while a file is written."""
    behind: tuple[int, str] | None = None
    while True:
        with database.reading() as connection:
            rows = [tuple(row) for row in connection.execute(_page(since, until, behind))]
        if rows:
            behind = (rows[-1][1], rows[-1][0])
            yield _exported(rows)
        if len(rows) < _EXPORTED:
            return


def _page(
    since: dt.datetime | None, until: dt.datetime | None, behind: tuple[int, str] | None
) -> Select[Any]:
    mine = PREDICTION.c
    other = LABEL.alias()
    newest = select(func.max(other.c.seq)).where(other.c.prediction_id == labelled_by())
    conditions = chosen_between(since, until)
    if behind is not None:
        made_at, identifier = behind
        later = and_(mine.made_at == made_at, mine.id > identifier)
        conditions += [mine.made_at >= made_at, or_(mine.made_at > made_at, later)]
    return (
        select(
            mine.id, mine.made_at, mine.bundle, mine.variant, mine.level, mine.category,
            mine.confidence, mine.probabilities, mine.dr_no, mine.input,
            LABEL.c.category, LABEL.c.crm_cd, LABEL.c.labelled_at, mine.experiment,
            mine.answered_id,
        )
        .outerjoin_from(PREDICTION, LABEL, LABEL.c.seq == newest.scalar_subquery())
        .where(*conditions)
        .order_by(mine.made_at, mine.id)
        .limit(_EXPORTED)
    )  # fmt: skip


def _exported(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    columns = list(zip(*rows, strict=True))
    shares = np.frombuffer(b"".join(columns[7]), dtype="<f8").reshape(len(rows), len(CATEGORIES))
    labels = [InformationLevel(level).label for level in columns[4]]
    values: dict[str, Any] = dict(zip(_BEFORE, (*columns[:4], labels, *columns[5:7]), strict=True))
    values |= {name: shares[:, place] for place, name in enumerate(_SHARES)}
    values |= dict(zip(_BEHIND, columns[8:], strict=True))
    return pl.DataFrame(
        {
            name: pl.Series(values[name], dtype=pl.Int64).cast(_TIME)
            if dtype == _TIME
            else pl.Series(values[name], dtype=dtype)
            for name, dtype in EXPORT_SCHEMA.items()
        }
    )
