from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.errors import DataError
from crimeguard.features.columns import Columns
from crimeguard.features.cross import crossed_keys
from crimeguard.features.featurizer import FEATURES_VERSION, Featurizer


@pytest.fixture(scope="module")
def columns(incidents: pl.DataFrame) -> Columns:
    return Columns.from_frame(incidents.head(1500))


@pytest.fixture(scope="module")
def fitted(columns: Columns) -> Featurizer:
    return Featurizer.fit(columns, min_count=8, mo_columns=10)


def test_only_crosses_that_occur_often_enough_are_known(
    fitted: Featurizer, columns: Columns
) -> None:
    keys, counts = np.unique(crossed_keys(columns).values, return_counts=True)
    assert set(fitted.vocabulary) == set(keys[counts >= 8])
    assert (np.diff(fitted.vocabulary) > 0).all()
    assert 0 < len(fitted.vocabulary) < len(keys)


def test_indices_are_the_places_of_the_known_keys(fitted: Featurizer, columns: Columns) -> None:
    features = fitted.transform(columns)
    keys = crossed_keys(columns)
    known = set(fitted.vocabulary.tolist())
    for place in (0, 1, 77, len(columns) - 1):
        mine = features.indices[features.offsets[place] : features.offsets[place + 1]]
        made = keys.values[keys.offsets[place] : keys.offsets[place + 1]].tolist()
        assert fitted.vocabulary[mine].tolist() == [key for key in made if key in known]
        assert (np.diff(mine) > 0).all()
    assert features.offsets[-1] == len(features.indices)
    assert features.dense.shape == (len(columns), len(fitted.table.names))


def test_a_cross_never_seen_is_left_out(fitted: Featurizer, columns: Columns) -> None:
    few = columns.rows(0, 20)
    strange = replace(few, premis_cd=np.full(20, 999_999), weapon_used_cd=np.full(20, 999_998))
    plain, unseen = fitted.transform(few), fitted.transform(strange)
    assert len(unseen.indices) < len(plain.indices)
    assert unseen.indices.max(initial=0) < len(fitted.vocabulary)


def test_keys_beyond_the_last_are_left_out(fitted: Featurizer, columns: Columns) -> None:
    short = Featurizer(fitted.table, fitted.vocabulary[:5])
    features = short.transform(columns.rows(0, 50))
    assert set(features.indices) <= set(range(5))
    known = np.isin(crossed_keys(columns.rows(0, 50)).values, short.vocabulary)
    assert len(features.indices) == known.sum()


def test_tables_cannot_be_fitted_on_a_handful(columns: Columns) -> None:
    with pytest.raises(DataError, match="too few incidents"):
        Featurizer.fit(columns.rows(0, 7), min_count=8, mo_columns=3)


def test_no_incident_has_no_features(fitted: Featurizer) -> None:
    features = fitted.transform(Columns.from_incidents([]))
    assert features.dense.shape == (0, len(fitted.table.names))
    assert features.offsets.tolist() == [0]


def test_everything_fitted_survives_json(fitted: Featurizer, columns: Columns) -> None:
    again = Featurizer.from_json(json.loads(json.dumps(fitted.to_json())))
    one, other = fitted.transform(columns), again.transform(columns)
    assert np.array_equal(one.dense, other.dense, equal_nan=True)
    assert np.array_equal(one.indices, other.indices)
    assert np.array_equal(one.offsets, other.offsets)


def test_features_of_another_version_are_refused(fitted: Featurizer) -> None:
    data = {**fitted.to_json(), "features_version": FEATURES_VERSION + 1}
    with pytest.raises(ValueError, match="features version"):
        Featurizer.from_json(data)
