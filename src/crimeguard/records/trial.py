"""The labelled predictions of an experiment, in the order in which they may be used."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import polars as pl
from sqlalchemy import Connection, Select, distinct, func, select

from crimeguard.domain.category import CATEGORIES
from crimeguard.records import moment
from crimeguard.records.database import Database
from crimeguard.records.entry import CHALLENGER, CHAMPION, SHADOW
from crimeguard.records.tables import LABEL, PREDICTION
from crimeguard.records.window import labelled_by, labels_of

_LEAST: Final = 1e-15  # of a probability, so that no loss is infinite
_ROWS: Final = {
    "key": pl.String, "made_at": pl.Int64, "bundle": pl.String, "variant": pl.String,
    "category": pl.String, "probabilities": pl.Binary, "incident": pl.String,
}  # fmt: skip
_LABELS: Final = {"key": pl.String, "label": pl.String, "labelled_at": pl.Int64}


@dataclass(frozen=True, slots=True)
class Counted:
    """The predictions of one variant in an experiment, and those that have a label by now."""

    predictions: int = 0
    labelled: int = 0


def count_trial(database: Database, experiment: str) -> dict[str, Counted]:
    """Count the predictions of an experiment by variant; mature or not."""
    mine = PREDICTION.c
    every = select(mine.variant, func.count()).where(mine.experiment == experiment)
    labelled = (
        select(mine.variant, func.count(distinct(mine.id)))
        .join(LABEL, LABEL.c.prediction_id == labelled_by())
        .where(mine.experiment == experiment)
    )
    with database.reading() as connection:
        known = dict(map(tuple, connection.execute(labelled.group_by(mine.variant))))
        found = connection.execute(every.group_by(mine.variant)).all()
    return {variant: Counted(rows, known.get(variant, 0)) for variant, rows in found}


def read_trial(
    database: Database,
    experiment: str,
    *,
    mode: Literal["shadow", "split"],
    champion: str,
    challenger: str,
    now: dt.datetime,
    maturity: dt.timedelta,
) -> pl.DataFrame:
    """Return the labelled incidents of an experiment, one row each.

    `champion` and `challenger` are 1.0 for a right and 0.0 for a wrong answer, and null where
    that model did not answer; `champion_loss` and `challenger_loss` are the log-losses in
    nats. Of an incident that was asked several times (the same DR_NO, or the same input
    without one) the first that can be used counts.

    Rows are in the order in which they came to be usable: labelled, and the prediction
    `maturity` old. A later look finds the same rows first, whatever came in between.

    Parameters
    ----------
    champion, challenger
        The sha256 of the two bundles; what others answered is left out.
    now, maturity
        Predictions that are not so old yet are not used, however soon they were labelled.
    """
    with database.reading() as connection:
        rows = pl.DataFrame(
            list(map(tuple, connection.execute(_answers(experiment, now - maturity)))),
            schema=_ROWS, orient="row",
        )  # fmt: skip
        labels = _labels(connection, experiment)
    wait = round(maturity.total_seconds() * 1e6)
    table = _scored(rows.join(labels, on="key", how="inner")).with_columns(
        since=pl.max_horizontal(pl.col("made_at") + wait, "labelled_at")
    )
    table = table.filter(pl.col("since") <= moment.to_moment(now))
    old = table.filter(variant=CHAMPION, bundle=champion)
    new = table.filter(variant=CHALLENGER if mode == "split" else SHADOW, bundle=challenger)
    known = old.select(
        "key", "incident", "since", pl.col("right").alias("champion"),
        pl.col("loss").alias("champion_loss"),
    )  # fmt: skip
    if mode == "shadow":
        other = new.select("key", challenger="right", challenger_loss="loss")
        found = known.join(other, on="key", how="inner")
    else:
        other = new.select(
            "key", "incident", "since", challenger="right", challenger_loss="loss"
        )  # fmt: skip
        found = pl.concat([known, other], how="diagonal")
    return (
        found.sort("since", "key").unique("incident", keep="first", maintain_order=True)
        .select("champion", "challenger", "champion_loss", "challenger_loss")
    )  # fmt: skip


def _answers(experiment: str, mature: dt.datetime) -> Select[Any]:
    mine = PREDICTION.c
    return select(
        labelled_by(), mine.made_at, mine.bundle, mine.variant, mine.category,
        mine.probabilities, func.coalesce(mine.dr_no, mine.input),
    ).where(
        mine.experiment == experiment,
        mine.made_at <= moment.to_moment(mature),
        labelled_by().in_(select(LABEL.c.prediction_id)),
    )  # fmt: skip


def _labels(connection: Connection, experiment: str) -> pl.DataFrame:
    """Return the newest label of each answer, and when its first came."""
    query = (
        select(LABEL.c.prediction_id, LABEL.c.category, LABEL.c.labelled_at)
        .join(PREDICTION, PREDICTION.c.id == LABEL.c.prediction_id)
        .where(PREDICTION.c.experiment == experiment)
        .order_by(LABEL.c.seq)
    )
    rows = list(map(tuple, connection.execute(query)))
    table = pl.DataFrame(rows, schema=_LABELS, orient="row")
    return table.group_by("key").agg(pl.col("label").last(), pl.col("labelled_at").first())


def _scored(table: pl.DataFrame) -> pl.DataFrame:
    """Add which answers were right, and their losses."""
    truth = labels_of(table["label"]).to_numpy()
    shares = np.frombuffer(b"".join(table["probabilities"]), dtype="<f8")
    true = shares.reshape(-1, len(CATEGORIES))[np.arange(len(truth)), truth]
    return table.with_columns(
        right=(pl.col("category") == pl.col("label")).cast(pl.Float64),
        loss=pl.Series(-np.log(np.maximum(true, _LEAST)), dtype=pl.Float64),
    )
