"""A stretch of the prediction log as columns: what was asked, what was answered, what was true."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, and_, func, select

from crimeguard.cores import cores
from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.field import CANONICAL_NAMES
from crimeguard.domain.incident import INCIDENT_FIELDS
from crimeguard.ingest.frame import SCHEMA, canonical
from crimeguard.records import moment
from crimeguard.records.database import Database
from crimeguard.records.entry import CHAMPION, SHADOW
from crimeguard.records.tables import LABEL, PREDICTION

_STEP: Final = 10_000  # rows whose JSON is read at once
_TIME: Final = pl.Datetime("us", "UTC")
_SPELLINGS: Final = {
    spelling: name for spelling, name in CANONICAL_NAMES.items() if name in INCIDENT_FIELDS
}
# Numbers become the text that an export would hold, a lone value a list of one.
_JSON: Final = pl.Struct(
    {
        spelling: pl.List(pl.String) if name == "mocodes" else pl.String
        for spelling, name in _SPELLINGS.items()
    }
)
_LABELS: Final = {
    "id": pl.String, "label": pl.String, "label_code": pl.Int32, "labelled_at": pl.Int64,
}  # fmt: skip


@dataclass(frozen=True, eq=False, kw_only=True)
class Window:
    """Logged predictions, one row each, oldest first.

    Parameters
    ----------
    frame
        The incidents as a canonical frame: every field that a model may see, and `dr_no`.
        Fields above `level` may be filled: they were sent, and hidden from the model.
    level
        What the model was let know, shape (n,), as InformationLevel numbers.
    probabilities
        Shape (n, 15), in the order of CATEGORIES.
    category, ids, bundle
        What was answered, under which identifier, by the bundle of which sha256.
    made_at
        When, in UTC with microseconds.
    label
        The true category's place in CATEGORIES, -1 where it is not known, shape (n,).
    label_code, labelled_at
        The crime code behind the label and when it came; null where not known.
    """

    frame: pl.DataFrame
    level: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    category: pl.Series
    ids: pl.Series
    made_at: pl.Series
    bundle: pl.Series
    label: NDArray[np.int64]
    label_code: pl.Series
    labelled_at: pl.Series

    def __len__(self) -> int:
        return len(self.level)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Which rows have a label, shape (n,)."""
        known: NDArray[np.bool_] = self.label >= 0
        return known

    def rows(self, which: NDArray[np.bool_]) -> Window:
        """Return the rows where `which`, shape (n,), is true."""
        keep = pl.Series(which)
        return Window(
            frame=self.frame.filter(keep), level=self.level[which],
            probabilities=self.probabilities[which], category=self.category.filter(keep),
            ids=self.ids.filter(keep), made_at=self.made_at.filter(keep),
            bundle=self.bundle.filter(keep), label=self.label[which],
            label_code=self.label_code.filter(keep), labelled_at=self.labelled_at.filter(keep),
        )  # fmt: skip


def read_window(
    database: Database,
    *,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    most: int | None = None,
    variant: str | None = CHAMPION,
    labelled_only: bool = False,
) -> Window:
    """Read the predictions made from `since` on and before `until`, with their newest labels.

    Parameters
    ----------
    since, until
        Times with a zone; None leaves that side open.
    most
        At most so many rows, the newest of them; None reads all into memory, about 2 kB a
        row.
    variant
        Whose; None for all that were answered, each once, whichever bundle answered. What a
        shadow scored has the label of the answer beside it.
    labelled_only
        Leave out what has no label.
    """
    chosen = _chosen(since, until, variant)
    if labelled_only:
        chosen = and_(chosen, _labelled_under(variant).in_(select(LABEL.c.prediction_id)))
    with database.reading() as connection:
        rows = _predictions(connection, chosen, most)
        labels = _newest_labels(connection, chosen, _labelled_under(variant))
    return _window(rows, labels)


def count_answered(
    database: Database, variant: str, *, since: dt.datetime, until: dt.datetime
) -> int:
    """Count what a variant answered from `since` on and before `until`."""
    query = select(func.count()).where(
        *chosen_between(since, until), PREDICTION.c.variant == variant
    )  # fmt: skip
    with database.reading() as connection:
        return int(connection.execute(query).scalar_one())


def chosen_between(
    since: dt.datetime | None, until: dt.datetime | None
) -> list[ColumnElement[bool]]:
    """Return the conditions on predictions of a stretch of time."""
    conditions: list[ColumnElement[bool]] = []
    if since is not None:
        conditions.append(PREDICTION.c.made_at >= moment.to_moment(since))
    if until is not None:
        conditions.append(PREDICTION.c.made_at < moment.to_moment(until))
    return conditions


def labelled_by() -> ColumnElement[str]:
    """Return the identifier that a prediction's labels are stored under: its answer's."""
    return func.coalesce(PREDICTION.c.answered_id, PREDICTION.c.id)


def labels_of(places: pl.Series) -> pl.Series:
    """Return the places in CATEGORIES of labels by name, -1 for null."""
    known = {name: place for place, name in enumerate(CATEGORIES)}
    return places.replace_strict(known, default=-1, return_dtype=pl.Int64).fill_null(-1)


def _chosen(
    since: dt.datetime | None, until: dt.datetime | None, variant: str | None
) -> ColumnElement[bool]:
    conditions = chosen_between(since, until)
    if variant is None:
        conditions.append(PREDICTION.c.answered_id.is_(None))
    else:
        conditions.append(PREDICTION.c.variant == variant)
    return and_(True, *conditions)


def _predictions(
    connection: Connection, chosen: ColumnElement[bool], most: int | None
) -> list[tuple[Any, ...]]:
    columns = PREDICTION.c
    query = (
        select(
            columns.id, columns.made_at, columns.bundle, columns.level, columns.category,
            columns.probabilities, columns.dr_no, columns.input,
        )
        .where(chosen)
        .order_by(columns.made_at.desc(), columns.id.desc())
        .limit(most)
    )  # fmt: skip
    rows = list(map(tuple, connection.execute(query)))
    rows.reverse()
    return rows


def _labelled_under(variant: str | None) -> ColumnElement[Any]:
    return PREDICTION.c.answered_id if variant == SHADOW else PREDICTION.c.id


def _newest_labels(
    connection: Connection, chosen: ColumnElement[bool], key: ColumnElement[Any]
) -> pl.DataFrame:
    query = (
        select(PREDICTION.c.id, LABEL.c.category, LABEL.c.crm_cd, LABEL.c.labelled_at)
        .join(LABEL, LABEL.c.prediction_id == key)
        .where(chosen)
        .order_by(LABEL.c.seq)
    )
    rows = list(map(tuple, connection.execute(query)))
    table = pl.DataFrame(rows, schema=_LABELS, orient="row")
    return table.unique("id", keep="last", maintain_order=True)


def _window(rows: Sequence[tuple[Any, ...]], labels: pl.DataFrame) -> Window:
    columns = list(zip(*rows, strict=True)) or [()] * 8
    ids, made_at, bundle, level, category, packed, dr_no, inputs = columns
    joined = pl.DataFrame({"id": pl.Series(ids, dtype=pl.String)}).join(
        labels, on="id", how="left", maintain_order="left"
    )
    numbers = np.frombuffer(b"".join(packed), dtype="<f8").astype(np.float64, copy=False)
    return Window(
        frame=_incidents(inputs).insert_column(0, pl.Series("dr_no", dr_no, dtype=pl.String)),
        level=np.array(level, dtype=np.int64),
        probabilities=numbers.reshape(len(ids), len(CATEGORIES)),
        category=pl.Series("category", category, dtype=pl.String),
        ids=joined["id"],
        made_at=pl.Series("made_at", made_at, dtype=pl.Int64).cast(_TIME),
        bundle=pl.Series("bundle", bundle, dtype=pl.String),
        label=labels_of(joined["label"]).to_numpy(),
        label_code=joined["label_code"],
        labelled_at=joined["labelled_at"].cast(_TIME),
    )


def _incidents(inputs: Sequence[str]) -> pl.DataFrame:
    """Read incidents in JSON, either spelling, the way that a file of them is read."""
    if not inputs:
        return pl.DataFrame(schema={name: SCHEMA[name] for name in INCIDENT_FIELDS})
    steps = (inputs[start : start + _STEP] for start in range(0, len(inputs), _STEP))
    with ThreadPoolExecutor(cores()) as pool:
        texts = pl.concat(pool.map(_texts, steps))
    # What was answered could be read; a value that a later version refuses is unknown.
    return canonical(texts, source="the prediction log").frame


def _texts(inputs: Sequence[str]) -> pl.DataFrame:
    read = pl.Series(inputs, dtype=pl.String).str.json_decode(_JSON).struct.unnest()
    return read.select(
        pl.coalesce(
            pl.col(spelling).list.join(" ") if name == "mocodes" else pl.col(spelling)
            for spelling, own in _SPELLINGS.items()
            if own == name
        ).alias(name)
        for name in INCIDENT_FIELDS
    )
