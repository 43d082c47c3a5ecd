from __future__ import annotations

import datetime as dt
import math
from itertools import count, pairwise
from typing import Literal

import numpy as np
import polars as pl
import pytest
from sqlalchemy import insert

from crimeguard.domain.category import CATEGORIES
from crimeguard.records.database import Database
from crimeguard.records.entry import Entry, entries_of
from crimeguard.records.moment import to_moment
from crimeguard.records.tables import LABEL
from crimeguard.records.trial import Counted, count_trial, read_trial
from tests.records.rows import write

OLD, NEW = "a" * 64, "b" * 64
NAME = "e" * 32
NOW = dt.datetime(2026, 5, 20, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
TRUTH, OTHER = CATEGORIES[3], CATEGORIES[4]
SHARE = 0.44  # of the category that is answered
_numbers = count()


def answer(
    right: bool = True, *, days: float = 10, variant: str = "champion", bundle: str = OLD,
    dr_no: str | None = None, beside: Entry | None = None, text: str | None = None,
    experiment: str | None = NAME,
) -> Entry:  # fmt: skip
    """Return a prediction of an incident whose truth is TRUTH, if it is labelled."""
    shares = np.full((1, len(CATEGORIES)), (1 - SHARE) / (len(CATEGORIES) - 1))
    shares[0, 3 if right else 4] = SHARE
    (row,) = entries_of(
        shares, np.array([2]), [text or f'{{"area":{next(_numbers)}}}'], bundle=bundle,
        dr_no=[dr_no], variant=variant, made_at=to_moment(NOW - days * DAY),
        experiment=experiment, answered_ids=None if beside is None else [beside.id],
    )  # fmt: skip
    return row


def shadowed(old: bool, new: bool, *, days: float = 10, dr_no: str | None = None) -> list[Entry]:
    """Return an answer and what was scored beside it."""
    first = answer(old, days=days, dr_no=dr_no)
    beside = answer(new, days=days, dr_no=dr_no, variant="shadow", bundle=NEW, beside=first,
                    text=first.input)  # fmt: skip
    return [first, beside]


def challenged(right: bool, *, days: float = 10) -> Entry:
    return answer(right, days=days, variant="challenger", bundle=NEW)


def label(database: Database, *rows: Entry, days: float = 1, category: str = TRUTH) -> None:
    """Let labels come so many days ago."""
    given = [
        {"prediction_id": row.id, "category": category, "crm_cd": None, "source": "t",
         "labelled_at": to_moment(NOW - days * DAY)}
        for row in rows
    ]  # fmt: skip
    with database.writing() as connection:
        connection.execute(insert(LABEL), given)


def read(
    database: Database, mode: Literal["shadow", "split"] = "shadow", *, now: dt.datetime = NOW
) -> pl.DataFrame:
    return read_trial(database, NAME, mode=mode, champion=OLD, challenger=NEW, now=now,
                      maturity=7 * DAY)  # fmt: skip


def pairs(table: pl.DataFrame) -> list[tuple[object, ...]]:
    return table.select("champion", "challenger").rows()


def test_a_label_of_the_answer_counts_for_what_was_scored_beside_it(database: Database) -> None:
    rows = [shadowed(True, False), shadowed(False, True), shadowed(True, True)]
    write(database, [row for pair in rows for row in pair])
    label(database, rows[0][0], days=3)
    label(database, rows[1][0], days=2)
    table = read(database)
    assert pairs(table) == [(1, 0), (0, 1)]
    rest = (1 - SHARE) / (len(CATEGORIES) - 1)
    assert table["champion_loss"].to_list() == pytest.approx([-math.log(SHARE), -math.log(rest)])
    assert table["challenger_loss"].to_list() == pytest.approx([-math.log(rest), -math.log(SHARE)])
    assert count_trial(database, NAME) == {"champion": Counted(3, 2), "shadow": Counted(3, 2)}


def test_in_a_split_each_incident_has_one_answer(database: Database) -> None:
    old, new, late = answer(True), challenged(False), challenged(True)
    write(database, [old, new, late])
    label(database, old, days=2.5)
    label(database, new, days=2)
    table = read(database, "split")
    assert pairs(table) == [(1, None), (None, 0)]
    assert table["challenger_loss"].null_count() == 1
    assert count_trial(database, NAME) == {"champion": Counted(1, 1), "challenger": Counted(2, 1)}


def test_quick_labels_wait_until_their_prediction_is_mature(database: Database) -> None:
    rows = [shadowed(True, True, days=days) for days in (7.1, 6.9)]
    write(database, [row for pair in rows for row in pair])
    label(database, *(pair[0] for pair in rows), days=6)
    assert read(database).height == 1
    assert read(database, now=NOW + DAY).height == 2


def test_a_later_look_finds_the_same_rows_first(database: Database) -> None:
    """Whatever the order of the predictions: what came later to be used stands later."""
    rows = [shadowed(bool(n % 2), n % 3 > 0, days=20 - n) for n in range(9)]
    write(database, [row for pair in rows for row in pair])
    for place, days in ((5, 9), (0, 3), (8, 12), (2, 1), (7, 12.5)):
        label(database, rows[place][0], days=days)
    looks = [pairs(read(database, now=NOW - days * DAY)) for days in (5.5, 3.5, 2, 0.5, -3)]
    assert [len(found) for found in looks] == [2, 3, 4, 5, 5]
    for earlier, later in pairwise(looks):
        assert later[: len(earlier)] == earlier


def test_an_incident_that_is_asked_again_counts_once(database: Database) -> None:
    first = shadowed(True, False, dr_no="7", days=12)
    again = shadowed(True, False, dr_no="7", days=11)
    texts = [answer(False, text='{"area":1}') for _ in range(2)]
    beside = [answer(True, variant="shadow", bundle=NEW, beside=row, text=row.input)
              for row in texts]  # fmt: skip
    write(database, [*first, *again, *texts, *beside])
    label(database, first[0], again[0], *texts)
    assert sorted(map(str, pairs(read(database)))) == ["(0.0, 1.0)", "(1.0, 0.0)"]


def test_what_does_not_belong_is_left_out(database: Database) -> None:
    foreign = shadowed(True, False)
    foreign = [row._replace(bundle="c" * 64) if row.answered_id is None else row for row in foreign]
    alone = answer(True)
    before = answer(True, experiment=None)
    write(database, [*foreign, alone, before])
    label(database, foreign[0], alone, before)
    assert read(database).height == 0
    assert pairs(read(database, "split")) == [(1, None)]


def test_of_several_labels_the_newest_holds_at_the_place_of_the_first(database: Database) -> None:
    one, other = shadowed(True, False), shadowed(False, True)
    write(database, [*one, *other])
    label(database, one[0], days=2.5, category=OTHER)
    label(database, other[0], days=2)
    label(database, one[0], days=1)
    assert pairs(read(database)) == [(1, 0), (0, 1)]


def test_an_experiment_without_predictions_is_empty(database: Database) -> None:
    assert read(database).height == read(database, "split").height == 0
    assert count_trial(database, NAME) == {}
