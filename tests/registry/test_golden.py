from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from crimeguard.domain.errors import BundleError
from crimeguard.domain.incident import Incident
from crimeguard.domain.level import InformationLevel
from crimeguard.pipeline import Trained
from crimeguard.registry.golden import RECORDS, TOLERANCE, check_golden, golden_answers
from crimeguard.train.model import Model


@pytest.fixture(scope="module")
def model(trained: Trained) -> Model:
    return trained.bundle.model


def test_a_bundle_answers_its_own_rows(trained: Trained) -> None:
    check_golden(trained.bundle.model, trained.bundle.golden)
    assert trained.bundle.golden == json.loads(json.dumps(golden_answers(trained.bundle.model)))


def test_the_rows_are_of_every_level() -> None:
    levels = {Incident.from_record(record).level for record in RECORDS}
    assert levels == set(InformationLevel)


def test_another_answer_is_refused(model: Model) -> None:
    golden = golden_answers(model)
    golden["probabilities"][3][5] += 2 * TOLERANCE
    with pytest.raises(BundleError, match="as it did when it was made"):
        check_golden(model, golden)


def test_a_rounding_error_is_not(model: Model) -> None:
    golden = golden_answers(model)
    golden["probabilities"][3][5] += TOLERANCE / 2
    check_golden(model, golden)


def test_another_pool_is_refused(model: Model) -> None:
    golden = golden_answers(model)
    turned = replace(model, pool=replace(model.pool, weights=model.pool.weights[:, ::-1].copy()))
    with pytest.raises(BundleError):
        check_golden(turned, golden)


def test_answers_that_are_no_numbers_are_refused(model: Model) -> None:
    golden = golden_answers(model)
    golden["probabilities"][0][0] = float("nan")
    with pytest.raises(BundleError, match="as it did"):
        check_golden(model, golden)
    weights = np.full_like(model.pool.weights, np.nan)
    with pytest.raises(BundleError, match="as it did"):
        check_golden(
            replace(model, pool=replace(model.pool, weights=weights)), golden_answers(model)
        )


@pytest.mark.parametrize(
    "golden",
    [
        {"records": [], "probabilities": []},
        {"records": list(RECORDS), "probabilities": [[0.1] * 15]},
        {"records": list(RECORDS), "probabilities": [[0.1]] * len(RECORDS)},
    ],
)
def test_rows_that_do_not_fit_are_refused(model: Model, golden: dict[str, object]) -> None:
    with pytest.raises(BundleError, match="do not fit"):
        check_golden(model, golden)


@pytest.mark.parametrize(
    "golden",
    [
        {},
        {"records": [{"DATE OCC": "never"}], "probabilities": [[0.1] * 15]},
        {"records": [3], "probabilities": [[0.1] * 15]},
        {"records": list(RECORDS), "probabilities": "many"},
    ],
)
def test_golden_rows_that_are_none_are_refused(model: Model, golden: dict[str, object]) -> None:
    with pytest.raises(BundleError):
        check_golden(model, golden)
