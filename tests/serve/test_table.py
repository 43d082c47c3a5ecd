from __future__ import annotations

import numpy as np

from crimeguard.domain.category import CATEGORIES
from crimeguard.serve.table import answer_table, prediction_sets, prediction_table


def test_a_row_an_incident_in_order_with_every_category() -> None:
    probabilities = np.eye(15)[[4, 0]] * 0.85 + 0.01
    table = prediction_table(["7", None], probabilities, np.array([2, 0]))
    assert table.columns == [
        "DR_NO", "prediction", "confidence", "information_level", *(f"p_{c}" for c in CATEGORIES)
    ]  # fmt: skip
    assert table["DR_NO"].to_list() == ["7", None]
    assert table["prediction"].to_list() == ["robbery", "vehicle_theft"]
    assert table["information_level"].to_list() == ["report", "call"]
    np.testing.assert_array_equal(table.select(f"p_{c}" for c in CATEGORIES), probabilities)
    assert table["confidence"].to_list() == probabilities.max(axis=1).tolist()


def test_an_answer_has_two_columns_more() -> None:
    probabilities = np.eye(15)[[4, 0, 2]] * 0.8 + np.linspace(0.01, 0.02, 15)
    inside = probabilities > 0.0195
    table = answer_table(
        ["7", None, "9"], probabilities, np.array([2, 0, 1]), inside, ["a", "b", "c"]
    )
    same = prediction_table(["7", None, "9"], probabilities, np.array([2, 0, 1]))
    assert table.drop("prediction_id", "prediction_set").equals(same)
    assert table["prediction_id"].to_list() == ["a", "b", "c"]
    last = CATEGORIES[-1]
    assert table["prediction_set"].to_list() == [
        ["robbery", last], ["vehicle_theft", last], ["burglary", last],
    ]  # fmt: skip


def test_a_set_may_be_empty() -> None:
    sets = prediction_sets(np.eye(15)[:2], np.eye(15, dtype=bool)[[14, 1]] & [[False], [True]])
    assert sets.to_list() == [[], [CATEGORIES[1]]]
