from __future__ import annotations

import datetime as dt

from crimeguard.records.database import Database
from crimeguard.records.labels import Label, add_labels
from crimeguard.records.summary import summarise
from tests.records.rows import BUNDLE, entries, write

DAY = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


def test_predictions_and_labels_are_counted_by_bundle_and_variant(database: Database) -> None:
    later = DAY + dt.timedelta(days=1)
    ids = write(database, entries(3, at=DAY), entries(2, at=later),
                entries(1, at=later, variant="challenger"))  # fmt: skip
    add_labels(database, [Label(ids[0], "theft", None, "t")])
    add_labels(database, [Label(ids[0], "robbery", None, "t"), Label(ids[4], "theft", None, "t")])
    champion, challenger = summarise(database)
    assert (champion.bundle, champion.variant) == (BUNDLE, "champion")
    assert (champion.predictions, champion.labelled) == (5, 2)
    assert (champion.first, champion.last) == (DAY, later)
    assert (challenger.variant, challenger.predictions, challenger.labelled) == ("challenger", 1, 0)
    assert [share.predictions for share in summarise(database, until=later)] == [3]
    assert [share.labelled for share in summarise(database, since=later)] == [0, 1]
    assert champion.to_dict()["first"] == "2026-03-01T00:00:00+00:00"


def test_an_empty_log_holds_nothing(database: Database) -> None:
    assert summarise(database) == []


def test_what_a_shadow_scored_is_told_apart_and_labelled_with_its_answer(
    database: Database,
) -> None:
    answered = entries(3)
    beside = entries(3, variant="shadow", bundle="c" * 64,
                     answered_ids=[row.id for row in answered])  # fmt: skip
    write(database, answered, beside)
    add_labels(database, [Label(row.id, "theft", None, "t") for row in answered[:2]])
    shares = {share.variant: share for share in summarise(database)}
    assert shares["champion"].answered
    assert not shares["shadow"].answered
    assert [shares[name].labelled for name in ("champion", "shadow")] == [2, 2]
