from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from crimeguard.evaluate import latency
from crimeguard.evaluate.latency import median_milliseconds
from crimeguard.features.columns import Columns
from crimeguard.pipeline import Trained
from tests.evaluate.cases import slow, wrapped


@pytest.fixture(autouse=True)
def _few_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "ANSWERS", 15)
    monkeypatch.setattr(latency, "ROUNDS", 2)
    monkeypatch.setattr(latency, "WARM_UP", 2)


def test_a_slow_model_is_told_from_a_quick_one_in_any_order(
    trained: Trained, incidents: pl.DataFrame
) -> None:
    quick = trained.bundle.model
    late = wrapped(quick, slow(0.03))
    columns = Columns.from_frame(incidents.head(7))
    for models in ([quick, late], [late, quick]):
        taken = dict(zip(map(id, models), median_milliseconds(models, columns), strict=True))
        assert taken[id(late)] >= 30
        assert 0 < taken[id(quick)] < taken[id(late)]


def test_one_incident_at_a_time_is_asked(trained: Trained, incidents: pl.DataFrame) -> None:
    asked: list[int] = []

    def note(columns: Columns, shares: np.ndarray) -> np.ndarray:
        asked.append(len(columns))
        return shares

    columns = Columns.from_frame(incidents.head(3))
    assert len(median_milliseconds([wrapped(trained.bundle.model, note)], columns)) == 1
    assert asked == [1] * (2 + 2 * 15)
    with pytest.raises(ZeroDivisionError):
        median_milliseconds([trained.bundle.model], Columns.from_frame(incidents.clear()))
