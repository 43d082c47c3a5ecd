from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.records.entry import Entry, entries_of
from crimeguard.records.tables import PREDICTION
from tests.records.rows import BUNDLE


def test_its_fields_are_the_columns_in_order() -> None:
    assert Entry._fields == tuple(column.name for column in PREDICTION.columns)


def test_a_row_says_what_was_answered() -> None:
    probabilities = np.full((2, 15), 0.02)
    probabilities[[0, 1], [3, 14]] = 0.72
    first, second = entries_of(
        probabilities, np.array([0, 2]), ["{}", '{"area":1}'], bundle=BUNDLE,
        dr_no=pl.Series(["231200001", None]),
    )  # fmt: skip
    assert (first.category, first.confidence, first.level) == (CATEGORIES[3], 0.72, 0)
    assert (second.category, second.level, second.input) == (CATEGORIES[14], 2, '{"area":1}')
    assert (first.dr_no, second.dr_no) == ("231200001", None)
    assert first.variant == "champion"
    assert first.id < second.id
    assert np.frombuffer(first.probabilities, "<f8").tolist() == probabilities[0].tolist()


@pytest.mark.parametrize(
    ("given", "kept"),
    [("230104011.0", "230104011"), (" 230104011 ", "230104011"), ("a\0b", "ab"), ("", None),
     ("9" * 60, "9" * 40), ("-", None)],
)  # fmt: skip
def test_a_number_is_kept_as_the_files_of_labels_write_it(given: str, kept: str | None) -> None:
    (row,) = entries_of(
        np.full((1, 15), 1 / 15), np.array([0]), ["{}"], bundle=BUNDLE, dr_no=[given]
    )
    assert row.dr_no == kept


def test_an_entry_may_belong_to_an_experiment_and_stand_beside_an_answer() -> None:
    answered, name = ["1" * 32, "2" * 32], "e" * 32
    shares = np.full((2, len(CATEGORIES)), 1 / len(CATEGORIES))
    rows = entries_of(
        shares, np.array([2, 2]), ["{}", "{}"], bundle="b" * 64, variant="shadow",
        experiment=name, answered_ids=answered,
    )  # fmt: skip
    assert [(row.variant, row.experiment, row.answered_id) for row in rows] == [
        ("shadow", name, other) for other in answered
    ]
    (plain,) = entries_of(shares[:1], np.array([2]), ["{}"], bundle="b" * 64)
    assert (plain.experiment, plain.answered_id) == (None, None)
