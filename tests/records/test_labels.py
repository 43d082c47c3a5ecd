from __future__ import annotations

import pytest
from sqlalchemy import text

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.codes import crime_codes
from crimeguard.records.database import Database
from crimeguard.records.labels import Added, Label, add_labels, predictions_of, settle
from crimeguard.records.window import read_window
from tests.records.rows import entries, write

NOWHERE = "0" * 32


def stored(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.execute(text("SELECT count(*) FROM label")).scalar_one())


def test_labels_are_added(database: Database) -> None:
    ids = write(database, entries(3))
    labels = [Label(ids[0], "theft", 341, "t"), Label(ids[2], "robbery", None, "t")]
    assert add_labels(database, labels) == Added(2, [])
    assert stored(database) == 2


def test_one_unknown_prediction_and_nothing_is_stored(database: Database) -> None:
    (known,) = write(database, entries())
    labels = [Label(known, "theft", None, "t"), Label(NOWHERE, "theft", None, "t")]
    assert add_labels(database, labels) == Added(0, [NOWHERE])
    assert stored(database) == 0


def test_unknown_predictions_can_be_left_out(database: Database) -> None:
    (known,) = write(database, entries())
    labels = [Label(NOWHERE, "theft", None, "t"), Label(known, "theft", None, "t")]
    assert add_labels(database, labels, skip_unknown=True) == Added(1, [NOWHERE])


def test_what_is_known_already_is_not_stored_again(database: Database) -> None:
    (known,) = write(database, entries())
    label = Label(known, "theft", 341, "t")
    assert add_labels(database, [label, label]) == Added(1, [], 1)
    assert add_labels(database, [label]) == Added(0, [], 1)
    assert add_labels(database, [Label(known, "theft", None, "t")]) == Added(1, [], 0)
    assert add_labels(database, [label]) == Added(1, [], 0)  # back to what it was is news
    assert stored(database) == 3


def test_many_labels_are_stored_in_steps(database: Database) -> None:
    ids = write(database, entries(12_000))
    told: list[int] = []
    labels = [Label(name, "theft", None, "t") for name in ids]
    assert add_labels(database, labels, on_progress=told.append).accepted == 12_000
    assert sum(told) == 12_000
    assert read_window(database).labelled.all()


def test_predictions_are_found_by_the_portals_number(database: Database) -> None:
    ids = write(database, entries(4, dr_no=["1", "2", None, "1"]))
    found = predictions_of(database, ["1", "3", "2"])
    assert found == {"1": [ids[0], ids[3]], "2": [ids[1]]}
    assert predictions_of(database, []) == {}


def test_a_crime_code_leads_to_its_category() -> None:
    for code, crime in crime_codes().items():
        assert settle(None, code) == crime.category
        assert settle(crime.category, code) == crime.category
    for category in CATEGORIES:
        assert settle(category, None) == category


@pytest.mark.parametrize(
    ("category", "code", "reason"),
    [
        (None, None, "needs"),
        ("crime", None, "no category"),
        ("", None, "no category"),
        (None, 1, "no known crime code"),
        ("theft", 210, "belongs to robbery, not to theft"),
        ("crime", 210, "no category"),
    ],
)
def test_other_labels_are_refused(category: str | None, code: int | None, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        settle(category, code)


def test_labels_are_of_answers_and_not_of_what_was_scored_beside_them(database: Database) -> None:
    answered = entries(1, dr_no=["9"])
    beside = entries(1, dr_no=["9"], variant="shadow", answered_ids=[answered[0].id])
    write(database, answered, beside)
    assert predictions_of(database, ["9"]) == {"9": [answered[0].id]}
    added = add_labels(database, [Label(beside[0].id, "theft", None, "t")])
    assert added == Added(0, [beside[0].id])
    assert add_labels(database, [Label(answered[0].id, "theft", None, "t")]).accepted == 1
