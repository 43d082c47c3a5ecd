from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.errors import DataError
from crimeguard.evaluate.evaluation import (
    FIELD_GROUPS,
    Evaluation,
    evaluate_model,
    field_importance,
    finite,
)
from crimeguard.evaluate.metrics import score
from crimeguard.features.columns import Columns
from crimeguard.pipeline import Trained
from crimeguard.train.fit import targets
from crimeguard.train.model import Model


@pytest.fixture(scope="module")
def model(trained: Trained) -> Model:
    return trained.bundle.model


@pytest.fixture(scope="module")
def test_rows(incidents: pl.DataFrame) -> pl.DataFrame:
    return incidents.tail(600)


@pytest.fixture(scope="module")
def found(model: Model, test_rows: pl.DataFrame) -> Evaluation:
    return evaluate_model(model, test_rows)


def test_each_level_is_scored_on_what_it_knows(
    model: Model, test_rows: pl.DataFrame, found: Evaluation
) -> None:
    assert list(found.levels) == ["call", "victim", "report"]
    hidden = test_rows.drop("weapon_used_cd", "mocodes")
    truth = targets(test_rows)
    shares = model.probabilities(Columns.from_frame(hidden))
    assert found.levels["victim"].scores == score(shares, truth)
    inside = model.prediction_sets(shares, Columns.from_frame(hidden))
    assert found.levels["victim"].coverage == inside[np.arange(600), truth].mean()
    assert found.levels["victim"].set_size == inside.sum(axis=1).mean()
    losses = [item.scores.log_loss for item in found.levels.values()]
    assert losses == sorted(losses, reverse=True)
    assert found.best.level == "report"


def test_it_says_of_what_it_speaks(test_rows: pl.DataFrame, found: Evaluation) -> None:
    assert found.first == test_rows["date_occ"].min()
    assert found.last == test_rows["date_occ"].max()
    assert found.rows == 600
    shares = np.bincount(targets(test_rows), minlength=15) / 600
    seen = shares[shares > 0]
    assert found.majority_share == shares.max()
    assert found.base_rate_log_loss == pytest.approx(-(seen * np.log(seen)).sum())
    assert np.sum(found.best.confusion) == 600


def test_rows_of_a_lower_level_are_scored_at_the_levels_they_have(
    model: Model, test_rows: pl.DataFrame
) -> None:
    call = test_rows.select("dr_no", "date_occ", "area", "premis_cd", "crm_cd")
    assert list(evaluate_model(model, call).levels) == ["call"]


def test_a_field_that_matters_is_worth_something_and_one_that_is_not_used_nothing(
    model: Model, test_rows: pl.DataFrame, found: Evaluation
) -> None:
    worth = found.importance
    assert set(worth) == set(FIELD_GROUPS)
    assert list(worth.values()) == sorted(worth.values(), reverse=True)
    assert worth["MO codes"] > 0.2
    alike = test_rows.with_columns(mocodes=pl.lit([344], pl.List(pl.Int16)))
    assert field_importance(model, alike, targets(alike), seed=1)["MO codes"] == 0
    truth = targets(test_rows)
    no_mo = field_importance(model, test_rows.drop("mocodes"), truth, seed=0)
    assert "MO codes" not in no_mo


def test_the_same_seed_shuffles_alike(model: Model, test_rows: pl.DataFrame) -> None:
    truth = targets(test_rows)
    one, same, other = (field_importance(model, test_rows, truth, seed=s) for s in (1, 1, 2))
    assert one == same != other


def test_metrics_are_flat_numbers(found: Evaluation) -> None:
    metrics = found.metrics()
    assert metrics["report_accuracy"] == found.best.scores.accuracy
    assert metrics["call_coverage"] == found.levels["call"].coverage
    assert metrics["test_rows"] == 600
    assert all(isinstance(value, float) for value in metrics.values())
    assert "report_rows" not in metrics


def test_everything_is_json(found: Evaluation) -> None:
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["first"] == found.first.isoformat()
    assert plain["levels"]["report"]["scores"]["ece"] == found.best.scores.ece


def test_what_is_not_defined_is_null_and_no_metric(model: Model, test_rows: pl.DataFrame) -> None:
    alike = test_rows.with_columns(crm_cd=pl.lit(510, pl.Int32))
    found = evaluate_model(model, alike)
    assert np.isnan(found.best.scores.macro_roc_auc)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["levels"]["report"]["scores"]["macro_roc_auc"] is None
    assert "report_macro_roc_auc" not in found.metrics()
    assert "report_accuracy" in found.metrics()


def test_finite_keeps_all_that_is_finite() -> None:
    nested = {"a": [1.5, float("nan"), {"b": float("inf")}], "c": ("x", None, True, 3)}
    assert finite(nested) == {"a": [1.5, None, {"b": None}], "c": ["x", None, True, 3]}


def test_nothing_to_score(model: Model, test_rows: pl.DataFrame) -> None:
    with pytest.raises(DataError, match="no incident to score"):
        evaluate_model(model, test_rows.clear())
    with pytest.raises(DataError, match="no crime codes"):
        evaluate_model(model, test_rows.drop("crm_cd"))


def test_steps_are_told(model: Model, test_rows: pl.DataFrame) -> None:
    told: list[str] = []
    evaluate_model(model, test_rows.head(50), on_step=told.append)
    assert [name for name in told if "level" in name] == [
        "score at level call", "score at level victim", "score at level report",
    ]  # fmt: skip
