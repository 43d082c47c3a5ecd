from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.level import InformationLevel
from crimeguard.evaluate.watched import WATCHED
from crimeguard.monitor.observed import UNKNOWN, Observed


@pytest.fixture
def observed() -> Observed:
    """Six incidents, two of each level; the places of their areas tell them apart."""
    frame = pl.DataFrame(
        {"date_occ": [dt.date(2023, 3, 1)] * 6, "area": pl.Series(range(6), dtype=pl.Int32)}
    )
    level = np.array([0, 1, 2, 0, 1, 2])
    return Observed.of(frame, level, np.eye(15)[:6], np.array([4, -1, -1, 0, -1, 14]))


def areas(part: Observed) -> list[int]:
    return part.fields["area"].to_list()


def test_it_lays_out_the_watched_fields(observed: Observed) -> None:
    assert len(observed) == 6
    assert observed.fields.columns == ["date_occ", *(field.name for field in WATCHED)]
    assert observed.labelled.tolist() == [True, False, False, True, False, True]


@pytest.mark.parametrize(
    ("level", "expected"),
    [("call", [0, 1, 2, 3, 4, 5]), ("victim", [1, 2, 4, 5]), ("report", [2, 5])],
)
def test_a_field_is_looked_at_where_its_level_is_known(
    observed: Observed, level: str, expected: list[int]
) -> None:
    assert observed.known_from(InformationLevel.parse(level))["area"].to_list() == expected


def test_a_part_is_a_part_of_everything(observed: Observed) -> None:
    part = observed.take(np.array([False, True, True, False, False, True]))
    assert areas(part) == [1, 2, 5]
    assert part.level.tolist() == [1, 2, 2]
    assert part.probabilities.argmax(axis=1).tolist() == [1, 2, 5]
    assert part.label.tolist() == [-1, -1, 14]


def test_the_matured_are_those_with_a_label_before_the_window_and_in_it(
    observed: Observed,
) -> None:
    assert areas(observed.matured) == [0, 3, 5]
    assert observed.matured.label.tolist() == [4, 0, 14]
    older = observed.take(np.array([False, False, False, False, True, True]))
    both = replace(observed, older=older)
    assert len(both) == 6
    assert areas(both.matured) == [5, 0, 3, 5]
    assert both.matured.label.tolist() == [14, 4, 0, 14]
    assert both.matured.level.tolist() == [2, 0, 0, 2]
    assert both.matured.probabilities.argmax(axis=1).tolist() == [5, 0, 3, 5]
    none = replace(observed, label=np.full(6, UNKNOWN))
    assert len(none.matured) == 0
    assert len(replace(none, older=older).matured) == 1
