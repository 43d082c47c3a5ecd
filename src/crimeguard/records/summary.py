"""What the prediction log holds, counted by the database itself."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from sqlalchemy import distinct, func, select

from crimeguard.records import moment
from crimeguard.records.database import Database
from crimeguard.records.entry import SHADOW
from crimeguard.records.tables import LABEL, PREDICTION
from crimeguard.records.window import chosen_between, labelled_by


@dataclass(frozen=True, slots=True)
class Share:
    """The predictions of one bundle in one variant."""

    bundle: str
    variant: str
    predictions: int
    labelled: int
    first: dt.datetime
    last: dt.datetime

    @property
    def answered(self) -> bool:
        """Whether callers were given these; a shadow's are only scored beside."""
        return self.variant != SHADOW

    def to_dict(self) -> dict[str, Any]:
        """Return the share with times that JSON can hold."""
        return {
            "bundle": self.bundle, "variant": self.variant, "predictions": self.predictions,
            "labelled": self.labelled, "first": self.first.isoformat(),
            "last": self.last.isoformat(),
        }  # fmt: skip


def summarise(
    database: Database, *, since: dt.datetime | None = None, until: dt.datetime | None = None
) -> list[Share]:
    """Count the predictions made from `since` on and before `until`, oldest bundle first.

    What a shadow scored is labelled when the answer beside it is.
    """
    mine = PREDICTION.c
    first = func.min(mine.made_at)
    counted = (
        select(mine.bundle, mine.variant, func.count(), first, func.max(mine.made_at))
        .where(*chosen_between(since, until)).group_by(mine.bundle, mine.variant)
        .order_by(first, mine.variant)
    )  # fmt: skip
    labelled = (
        select(mine.bundle, mine.variant, func.count(distinct(mine.id)))
        .join(LABEL, LABEL.c.prediction_id == labelled_by())
        .where(*chosen_between(since, until)).group_by(mine.bundle, mine.variant)
    )  # fmt: skip
    with database.reading() as connection:
        known = {(row[0], row[1]): row[2] for row in connection.execute(labelled)}
        return [
            Share(bundle, variant, number, known.get((bundle, variant), 0),
                  moment.to_time(begin), moment.to_time(end))
            for bundle, variant, number, begin, end in connection.execute(counted)
        ]  # fmt: skip
