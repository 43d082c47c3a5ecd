"""Fitting the tree members: XGBoost and LightGBM, both standing on the linear member's scores.

Both start from the linear scores, have them among their columns, and learn what they leave
over: what the linear member knows of a rare category is not to be learnt again from a few
dozen incidents. XGBoost grows trees whose leaves hold all 15 categories at once; LightGBM a
few rounds of a tree a category. In training both are given out-of-fold scores, as they will
meet them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import xgboost

from crimeguard.features.columns import Floats, Ints
from crimeguard.features.dense import Matrix
from crimeguard.train.linear import CLASSES
from crimeguard.train.params import LightgbmParams, XgboostParams
from crimeguard.train.trees import LightgbmTrees, XgboostTrees, with_linear

Step = Callable[[], None]


def fit_xgboost(
    dense: Matrix, linear: Floats, target: Ints, params: XgboostParams,
    *, seed: int, threads: int, on_step: Step = lambda: None,
) -> XgboostTrees:  # fmt: skip
    """Fit vector-leaf trees to what the linear scores of shape (n, 15) leave over."""
    table = with_linear(dense, linear)
    data = xgboost.DMatrix(table, target, base_margin=linear.astype(np.float32))
    booster = xgboost.train(
        {
            "objective": "multi:softprob",
            "num_class": CLASSES,
            "tree_method": "hist",
            "multi_strategy": "multi_output_tree",
            "max_depth": params.max_depth,
            "learning_rate": params.learning_rate,
            "reg_lambda": params.l2,
            "min_child_weight": 10,
            "subsample": params.row_share,
            "colsample_bytree": params.column_share,
            "nthread": threads,
            "seed": seed,
            "verbosity": 0,
        },
        data,
        params.rounds,
        callbacks=[_XgboostSteps(on_step)],
    )
    return XgboostTrees.read(bytes(booster.save_raw("json")))


def fit_lightgbm(
    dense: Matrix, linear: Floats, target: Ints, params: LightgbmParams,
    *, seed: int, threads: int, on_step: Step = lambda: None,
) -> LightgbmTrees:  # fmt: skip
    """Fit a tree a category and round to what the linear scores of shape (n, 15) leave over."""
    table = with_linear(dense, linear)
    data = lightgbm.Dataset(table, target, init_score=linear.ravel("F"))
    booster = lightgbm.train(
        {
            "objective": "multiclass",
            "num_class": CLASSES,
            "num_leaves": params.num_leaves,
            "max_depth": params.max_depth,
            "learning_rate": params.learning_rate,
            "lambda_l2": params.l2,
            "min_data_in_leaf": params.min_rows_in_leaf,
            "feature_fraction": params.column_share,
            "num_threads": threads,
            "seed": seed,
            "deterministic": True,
            "verbosity": -1,
        },
        data,
        params.rounds,
        callbacks=[lambda _: on_step()],
    )
    return LightgbmTrees.read(booster.model_to_string().encode())


class _XgboostSteps(xgboost.callback.TrainingCallback):  # type: ignore[misc]
    def __init__(self, on_step: Step) -> None:
        self.on_step = on_step

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002
        self.on_step()
        return False
