"""Labels: the true category of a logged prediction, arriving later."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, func, insert, select

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.codes import category_of
from crimeguard.records import moment
from crimeguard.records.database import Database
from crimeguard.records.tables import LABEL, PREDICTION

_STEP: Final = 5_000  # labels of one transaction; databases bound what a query may name


@dataclass(frozen=True, slots=True)
class Label:
    """What a prediction should have been; `source` says who tells, for people to read."""

    prediction_id: str
    category: str
    crm_cd: int | None
    source: str


@dataclass(frozen=True, slots=True)
class Added:
    """What became of labels.

    `accepted` are new, `unchanged` say what is known already and are not stored again,
    `unknown` names the identifiers that are not in the log.
    """

    accepted: int
    unknown: list[str]
    unchanged: int = 0


def settle(category: str | None, crm_cd: int | None) -> str:
    """Return the category that a label means; ValueError says why it means none.

    Either may be missing. A crime code must be known, and must belong to the category.
    """
    if category is None and crm_cd is None:
        raise ValueError("needs a category or a crime code (crm_cd)")
    if category is not None and category not in CATEGORIES:
        raise ValueError(f"{category[:80]!r} is no category; they are {', '.join(CATEGORIES)}")
    if crm_cd is None:
        assert category is not None  # noqa: S101 -- one of the two is there
        return category
    own = category_of(crm_cd)
    if own is None:
        raise ValueError(f"{crm_cd} is no known crime code")
    if category not in (None, own.value):
        raise ValueError(f"crime code {crm_cd} belongs to {own.value}, not to {category}")
    return own.value


def add_labels(
    database: Database,
    labels: Sequence[Label],
    *,
    skip_unknown: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> Added:
    """Store labels; of several for one prediction the last holds.

    If one of them is for a prediction that is not in the log, none is stored, unless
    `skip_unknown`. `on_progress` is told how many have been looked at.
    """
    steps = [labels[start : start + _STEP] for start in range(0, len(labels), _STEP)]
    unknown: list[str] = []
    if not skip_unknown:
        with database.reading() as connection:
            unknown = [item for step in steps for item in _unknown(connection, step)]
        if unknown:
            return Added(0, unknown)
    accepted = unchanged = 0
    for step in steps:
        with database.writing() as connection:
            missing = set(_unknown(connection, step))
            fresh = list(_changed(connection, [x for x in step if x.prediction_id not in missing]))
            if fresh:
                connection.execute(insert(LABEL), fresh)
        unknown += missing
        accepted += len(fresh)
        unchanged += len(step) - len(fresh) - sum(x.prediction_id in missing for x in step)
        if on_progress is not None:
            on_progress(len(step))
    return Added(accepted, unknown, unchanged)


def predictions_of(
    database: Database,
    numbers: Sequence[str],
    *,
    on_progress: Callable[[int], None] | None = None,
) -> Mapping[str, list[str]]:
    """Return the identifiers of the answered predictions of each DR_NO that has any."""
    found: dict[str, list[str]] = {}
    for start in range(0, len(numbers), _STEP):
        step = numbers[start : start + _STEP]
        query = select(PREDICTION.c.dr_no, PREDICTION.c.id).where(
            PREDICTION.c.dr_no.in_(step), PREDICTION.c.answered_id.is_(None)
        )
        with database.reading() as connection:
            for number, identifier in connection.execute(query.order_by(PREDICTION.c.id)):
                found.setdefault(number, []).append(identifier)
        if on_progress is not None:
            on_progress(len(step))
    return found


def _unknown(connection: Connection, labels: Sequence[Label]) -> list[str]:
    ids = list(dict.fromkeys(item.prediction_id for item in labels))
    # What was scored beside an answer has that answer's label.
    answered = PREDICTION.c.answered_id.is_(None)
    known = set(
        connection.scalars(select(PREDICTION.c.id).where(PREDICTION.c.id.in_(ids), answered))
    )
    return [item for item in ids if item not in known]


def _changed(connection: Connection, labels: Sequence[Label]) -> Iterator[dict[str, Any]]:
    """Yield rows for the labels that say something new, so that a file may come every day."""
    ids = {item.prediction_id for item in labels}
    newest = (
        select(func.max(LABEL.c.seq)).where(LABEL.c.prediction_id.in_(ids))
        .group_by(LABEL.c.prediction_id)
    )  # fmt: skip
    query = select(LABEL.c.prediction_id, LABEL.c.category, LABEL.c.crm_cd)
    rows = connection.execute(query.where(LABEL.c.seq.in_(newest)))
    held = {row.prediction_id: (row.category, row.crm_cd) for row in rows}
    when = moment.now()
    for item in labels:
        says = (item.category, item.crm_cd)
        if held.get(item.prediction_id) != says:
            held[item.prediction_id] = says
            yield {
                "prediction_id": item.prediction_id, "category": item.category,
                "crm_cd": item.crm_cd, "source": item.source[:200], "labelled_at": when,
            }  # fmt: skip
