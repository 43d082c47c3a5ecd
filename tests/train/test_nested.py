from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.errors import CrimeGuardError, DataError
from crimeguard.evaluate.metrics import log_loss
from crimeguard.features.columns import Columns, Floats
from crimeguard.train import nested
from crimeguard.train.fit import Shown, fit_model
from crimeguard.train.nested import Nested, mean_loss, nested_splits, score_fold
from crimeguard.train.params import Params, SplitParams, TuningParams
from crimeguard.train.split import split_by_time

UNTIL = dt.date(2023, 2, 18)
HOW = TuningParams(folds=3, fold_days=4, confirm_days=6)


@pytest.fixture(scope="module")
def params(tiny_params: Params) -> Params:
    return replace(tiny_params, tuning=HOW, linear=replace(tiny_params.linear, iterations=3),
                   xgboost=replace(tiny_params.xgboost, rounds=1),
                   lightgbm=replace(tiny_params.lightgbm, rounds=1))  # fmt: skip


@pytest.fixture(scope="module")
def window(incidents: pl.DataFrame) -> pl.DataFrame:
    return split_by_time(incidents, SplitParams(), UNTIL).train


@pytest.fixture(scope="module")
def cut(window: pl.DataFrame, params: Params) -> Nested:
    return nested_splits(window, UNTIL, params)


def test_folds_score_days_after_those_that_they_learn_from(cut: Nested, params: Params) -> None:
    assert [fold.label for fold in (*cut.folds, cut.confirm)] == [
        "2023-02-01 to 2023-02-04", "2023-02-05 to 2023-02-08", "2023-02-09 to 2023-02-12",
        "2023-02-13 to 2023-02-18",
    ]  # fmt: skip
    for fold in (*cut.folds, cut.confirm):
        oldest = fold.test["date_occ"].min()
        assert isinstance(oldest, dt.date)
        assert fold.train["date_occ"].max() == fold.until
        assert (oldest - fold.until).days == params.split.embargo_days + 1


def test_each_incident_of_the_newest_days_is_scored_in_one_fold(
    cut: Nested, window: pl.DataFrame
) -> None:
    scored = pl.concat([*(fold.test for fold in cut.folds), cut.confirm.test])
    newest = window.filter(pl.col("date_occ") >= dt.date(2023, 2, 1))
    assert sorted(scored["dr_no"]) == sorted(newest["dr_no"])


def test_no_trial_sees_the_days_that_confirm(cut: Nested) -> None:
    first = cut.confirm.test["date_occ"].min()
    assert isinstance(first, dt.date)
    for fold in cut.folds:
        seen = pl.concat([fold.train, fold.test])["date_occ"].max()
        assert isinstance(seen, dt.date)
        assert seen < first


def test_late_reports_are_left_out_where_training_leaves_them_out(
    window: pl.DataFrame, params: Params
) -> None:
    strict = replace(params, split=replace(params.split, reported_by_then=True))
    for fold in nested_splits(window, UNTIL, strict).folds:
        assert fold.train.filter(pl.col("date_rptd") > fold.until).is_empty()


def test_what_is_newer_than_the_window_is_refused(incidents: pl.DataFrame, params: Params) -> None:
    with pytest.raises(DataError, match="ends on 2023-02-18 and holds 2023-02-28"):
        nested_splits(incidents, UNTIL, params)


def test_too_short_a_window_is_refused(window: pl.DataFrame, params: Params) -> None:
    long = replace(params, tuning=replace(HOW, fold_days=8))
    with pytest.raises(DataError, match="too short to tune in"):
        nested_splits(window.filter(pl.col("date_occ") > dt.date(2023, 1, 12)), UNTIL, long)
    gap = window.filter(~pl.col("date_occ").is_between(dt.date(2023, 2, 5), dt.date(2023, 2, 8)))
    with pytest.raises(DataError, match="No incident occurred between"):
        nested_splits(gap, UNTIL, params)


def test_a_fold_is_scored_by_a_model_of_its_own(cut: Nested, params: Params) -> None:
    fold = cut.folds[0]
    steps: list[str] = []
    days = score_fold(fold, params, lambda name, done, total: steps.append(name))
    counts = fold.test.group_by("date_occ").len().sort("date_occ")["len"]
    assert [count for count, _ in days] == counts.to_list()
    model = fit_model(fold.train, fold.until, params)
    shown = Shown.of(fold.test)
    expected = log_loss(model.probabilities(shown.columns), shown.target)
    assert mean_loss([days]) == pytest.approx(expected)
    assert "fit on all days: XGBoost" in steps
    assert score_fold(fold, params, lambda *_: None) == days


def test_an_answer_that_is_no_number_is_an_error(
    cut: Nested, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Sick:
        def probabilities(self, columns: Columns) -> Floats:
            return np.full((len(columns), 15), np.nan)

    monkeypatch.setattr(nested, "fit_model", lambda *_: Sick())
    with pytest.raises(CrimeGuardError, match="no number"):
        score_fold(cut.folds[0], params, lambda *_: None)


def test_the_mean_is_of_incidents_and_not_of_days() -> None:
    assert mean_loss([[(1, 4.0), (3, 3.0)], [(4, 1.0)]]) == 1.0
