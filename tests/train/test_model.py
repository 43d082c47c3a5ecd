from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.incident import Incident
from crimeguard.domain.level import InformationLevel
from crimeguard.features.columns import Columns, concatenate
from crimeguard.registry.bundle import Bundle
from crimeguard.train import model as module
from crimeguard.train.model import POOLED, Model
from crimeguard.train.pool import log_softmax


@pytest.fixture(scope="module")
def model(tiny_bundle: Path) -> Model:
    return Bundle.load(tiny_bundle).model


@pytest.fixture(scope="module")
def columns(incidents: pl.DataFrame) -> Columns:
    whole = Columns.from_frame(incidents.head(120))
    parts = [whole.rows(40 * level, 40 * level + 40).at_level(level) for level in InformationLevel]
    return concatenate([*parts[::-1]])


def test_answers_are_probabilities(model: Model, columns: Columns) -> None:
    shares = model.probabilities(columns)
    assert shares.shape == (120, 15)
    assert shares.sum(axis=1) == pytest.approx(np.ones(120))
    assert shares.min() >= 0


def test_no_incident_has_no_answer(model: Model) -> None:
    nobody = Columns.from_incidents([])
    assert model.probabilities(nobody).shape == (0, 15)
    assert model.prediction_sets(model.probabilities(nobody), nobody).shape == (0, 15)


def test_steps_of_any_size_give_the_same_answers(
    model: Model, columns: Columns, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = model.probabilities(columns)
    for chunk in (1, 7, 120):
        monkeypatch.setattr(module, "CHUNK", chunk)
        assert np.array_equal(model.probabilities(columns), whole)


def test_an_incident_has_one_answer_however_many_are_asked_for_together(
    model: Model, incidents: pl.DataFrame
) -> None:
    whole = Columns.from_frame(incidents)
    bare = Columns.from_incidents(
        [Incident(date_occ=dt.date(2023, 1, 1), area=area, level=level)
         for area in (1, 99) for level in InformationLevel]
    )  # fmt: skip
    order = np.random.default_rng(0).permutation(2_000)
    columns = concatenate(
        [bare, *(whole.rows(600 * n, 600 * n + 664).at_level(n) for n in InformationLevel)]
    ).take(order % (6 + 3 * 664))
    answers = model.probabilities(columns)
    for size in (1, 2, 3, 7, 8, 64, 1000):
        for start in range(0, min(2_000 - size, 40 * size), size):
            part = columns.rows(start, start + size)
            mine = model.probabilities(part)
            assert mine.tobytes() == answers[start : start + size].tobytes(), (size, start)
            assert mine.dtype == answers.dtype


def test_the_pool_blends_what_the_members_say(model: Model, columns: Columns) -> None:
    features = model.featurizer.transform(columns)
    scores = model.members.scores(features)
    assert len(scores) == POOLED
    assert all(mine.shape == (120, 15) for mine in scores)
    weights = model.pool.weights[columns.level]
    pooled = sum(weights[:, i, None] * log_softmax(mine) for i, mine in enumerate(scores))
    expected = np.exp(log_softmax(np.asarray(pooled)))
    assert model.probabilities(columns) == pytest.approx(expected)


def test_sets_are_those_of_each_incidents_level(model: Model, columns: Columns) -> None:
    shares = model.probabilities(columns)
    inside = model.prediction_sets(shares, columns)
    bounds = model.conformal.thresholds[columns.level]
    assert ((shares >= bounds[:, None]) <= inside).all()
    assert inside.any(axis=1).all()
    size = [inside[columns.level == level].sum(axis=1).mean() for level in (0, 1, 2)]
    assert size[0] > size[1] > size[2]
