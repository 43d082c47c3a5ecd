from __future__ import annotations

import numpy as np

from crimeguard.domain.category import CATEGORIES
from crimeguard.serve.table import prediction_table


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
