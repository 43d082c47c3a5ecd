"""Fitting the tree members: XGBoost and LightGBM, both standing on the linear member's scores.

Both start from the linear scores, have them among their columns, and learn what they leave
over: what the linear member knows of a rare category is not to be learnt again from a few
dozen incidents. XGBoost grows trees whose leaves hold all 15 categories at once; LightGBM a
few rounds of a tree a category. In training both are given out-of-fold scores, as they will
meet them.
"""

from __future__ import annotations

import lightgbm
import numpy as np

from crimeguard.features.columns import Floats, Ints
from crimeguard.features.dense import Matrix
from crimeguard.train.crew import Crew, Here, Step
from crimeguard.train.linear import CLASSES
from crimeguard.train.params import LightgbmParams, XgboostParams
from crimeguard.train.trees import LightgbmTrees, XgboostTrees, with_linear


def fit_xgboost(
    dense: Matrix, linear: Floats, target: Ints, params: XgboostParams,
    *, seed: int, threads: int, on_step: Step = lambda: None, crew: Crew | None = None,
) -> XgboostTrees:  # fmt: skip
    """Fit vector-leaf trees to what the linear scores of shape (n, 15) leave over.

    A `crew` does it in place of this machine.
    """
    booster = (crew or Here(threads)).boost(
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
        with_linear(dense, linear), target, linear.astype(np.float32), params.rounds, on_step,
    )  # fmt: skip
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
