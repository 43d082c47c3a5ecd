from __future__ import annotations

import io
import json

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.features.columns import Columns
from crimeguard.serve import encode
from crimeguard.serve.batch import Batch, Scored, score
from crimeguard.serve.encode import FORMS, as_arrow, as_csv, as_json, as_parquet
from crimeguard.serve.incident import read_one
from crimeguard.serve.openapi import NAMES_EXAMPLE
from tests.serve.fakes import FakePredictor

NUMBERS = ["1", None, 'a"b', "c\nd", "\u2028,", "6", ""]


@pytest.fixture(params=[1, 3, 100])
def scored(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Scored:
    """Score seven incidents with awkward numbers, to be written in steps of several lengths."""
    monkeypatch.setattr(encode, "_STEP", request.param)
    incidents = [read_one({**NAMES_EXAMPLE, "area": n + 1}).incident for n in range(len(NUMBERS))]
    done = score(Batch(Columns.from_incidents(incidents), NUMBERS), FakePredictor())
    rng = np.random.default_rng(5)
    done.probabilities[:] = rng.dirichlet(np.full(15, 0.1), len(NUMBERS))
    done.inside[:] = done.probabilities > 0.05
    done.inside[2] = False
    return done


def test_json_holds_every_number_to_the_last_bit(scored: Scored) -> None:
    rows = json.loads(b"".join(as_json(scored)))["predictions"]
    assert [row["DR_NO"] for row in rows] == NUMBERS
    shares = [[row["probabilities"][name] for name in CATEGORIES] for row in rows]
    np.testing.assert_array_equal(shares, scored.probabilities)
    for row, inside in zip(rows, scored.inside, strict=True):
        likeliest = sorted(row["probabilities"], key=row["probabilities"].get, reverse=True)
        assert row["prediction"] == likeliest[0]
        members = {name for name, member in zip(CATEGORIES, inside, strict=True) if member}
        assert row["prediction_set"] == [name for name in likeliest if name in members]


def test_the_tables_are_the_same_table(scored: Scored) -> None:
    parquet = pl.read_parquet(io.BytesIO(b"".join(as_parquet(scored))))
    stream = b"".join(as_arrow(scored))
    assert pl.read_ipc_stream(io.BytesIO(stream)).equals(parquet)
    flat = pl.read_csv(io.BytesIO(b"".join(as_csv(scored))), schema_overrides={"DR_NO": pl.String})
    assert flat.columns == parquet.columns
    assert flat.drop("DR_NO", "prediction_set").equals(parquet.drop("DR_NO", "prediction_set"))
    assert parquet["prediction_id"].to_list() == list(scored.ids)
    assert parquet["prediction_set"][2].to_list() == []


def test_others_read_our_stream(scored: Scored) -> None:
    with pa.ipc.open_stream(b"".join(as_arrow(scored))) as reader:
        table = reader.read_all()
    assert table.column("DR_NO").to_pylist() == NUMBERS
    assert table.schema.field("prediction_set").type == pa.large_list(pa.large_string())


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_empty(scored: Scored, form: str) -> None:
    assert all(FORMS[form](scored))
