from __future__ import annotations

import numpy as np
import pytest

from crimeguard.evaluate.chance import chance_error
from crimeguard.evaluate.metrics import (
    CalibrationBin,
    calibration_bins,
    expected_calibration_error,
)


@pytest.mark.parametrize("rows", [1000, 4000])
def test_it_is_the_error_of_a_model_that_is_perfectly_calibrated(rows: int) -> None:
    rng = np.random.default_rng(2)
    shares = rng.dirichlet(np.full(15, 0.3), rows)
    told, drawn = [], []
    for _ in range(60):
        truth = (shares.cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1).clip(max=14)
        told.append(chance_error(calibration_bins(shares, truth)))
        drawn.append(expected_calibration_error(shares, truth))
    assert np.mean(told) == pytest.approx(np.mean(drawn), rel=0.1)


def test_it_halves_with_four_times_the_rows_and_is_nothing_without_doubt() -> None:
    few, many = (CalibrationBin(0.4, 0.5, rows, 0.5, 0.5) for rows in (100, 400))
    assert chance_error([few]) == pytest.approx(np.sqrt(2 / np.pi) * 0.05)
    assert chance_error([few]) == pytest.approx(2 * chance_error([many]))
    assert chance_error([CalibrationBin(0.9, 1.0, 10, 1.0, 0.4)]) == 0
    assert chance_error([]) == 0
