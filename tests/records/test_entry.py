from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.records.entry import Entries, Entry, entries_of
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


def test_many_are_columns_until_one_is_looked_at() -> None:
    rows = entries_of(
        np.full((5, 15), 1 / 15), np.array([0, 1, 2, 1, 0]), [f'{{"area":{n}}}' for n in range(5)],
        bundle=BUNDLE, dr_no=[str(n) for n in range(5)],
    )  # fmt: skip
    assert [row.dr_no for row in rows] == ["0", "1", "2", "3", "4"]
    assert rows[3] == list(rows)[3]
    assert rows[-1].level == 0
    part = rows[1:3]
    assert isinstance(part, Entries)
    assert list(part) == list(rows)[1:3]
    assert rows.flat() == [value for row in rows for value in row]


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="for each prediction"):
        entries_of(np.full((2, 15), 1 / 15), np.array([0, 1]), ["{}"], bundle=BUNDLE)
