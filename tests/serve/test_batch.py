from __future__ import annotations

import io
import json

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.features.columns import Columns
from crimeguard.serve import chunks
from crimeguard.serve.batch import Batch, Scored, score
from crimeguard.serve.encode import as_csv, as_json
from crimeguard.serve.incident import read_one
from crimeguard.serve.openapi import CALL_EXAMPLE, NAMES_EXAMPLE
from tests.serve.fakes import FakePredictor

ROWS = 7


@pytest.fixture(params=[3, 100])
def scored(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Scored:
    """Score seven incidents in steps that do and do not divide them."""
    monkeypatch.setattr(chunks, "ROWS", request.param)
    monkeypatch.setattr(chunks, "_FEW", 1)
    records = [{**NAMES_EXAMPLE, "area": area} for area in range(1, ROWS)] + [CALL_EXAMPLE]
    columns = Columns.from_incidents([read_one(record).incident for record in records])
    return score(Batch(columns, [str(n) for n in range(ROWS)], ("Crm Cd",)), FakePredictor())


def test_both_forms_say_the_same(scored: Scored) -> None:
    document = json.loads(b"".join(as_json(scored)))
    table = pl.read_csv(io.BytesIO(b"".join(as_csv(scored))), schema_overrides={"DR_NO": pl.String})
    assert document["rows"] == table.height == ROWS
    for name in ("DR_NO", "prediction", "confidence", "information_level"):
        assert table[name].to_list() == [row[name] for row in document["predictions"]]
    for category in CATEGORIES:
        shares = [row["probabilities"][category] for row in document["predictions"]]
        np.testing.assert_array_equal(table[f"p_{category}"], shares)


def test_many_are_predicted_as_one_by_one(scored: Scored) -> None:
    predictions = json.loads(b"".join(as_json(scored)))["predictions"]
    for area, row in enumerate(predictions[:-1], 1):
        alone = FakePredictor().predict([read_one({**NAMES_EXAMPLE, "area": area}).incident])[0]
        assert row["prediction"] == alone.category
        assert tuple(row["prediction_set"]) == alone.prediction_set
        assert row["probabilities"] == alone.probabilities


def test_the_summary_counts_every_category(scored: Scored) -> None:
    document = json.loads(b"".join(as_json(scored)))
    assert list(document["summary"]) == list(CATEGORIES)
    assert sum(document["summary"].values()) == ROWS
    assert document["ignored_fields"] == ["Crm Cd"]
    assert sum(number for _, _, number in scored.counts()) == ROWS
    assert {level for _, level, _ in scored.counts()} == {"report", "call"}


def test_every_prediction_has_an_id_of_its_own(scored: Scored) -> None:
    predictions = json.loads(b"".join(as_json(scored)))["predictions"]
    assert len({row["prediction_id"] for row in predictions}) == ROWS
