"""The tree members: XGBoost and LightGBM, both standing on the linear member's scores.

Both start from the linear scores and learn what they leave over: what the linear member
knows of a rare category is not to be learnt again from a few dozen incidents. XGBoost
grows trees whose leaves hold all 15 categories at once, a fifteenth of the trees and many
times the speed; LightGBM a tree a category, with the linear scores among its columns. In
training both are given out-of-fold scores, as they will meet them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import xgboost

from crimeguard.features.columns import Floats, Ints
from crimeguard.features.dense import Matrix
from crimeguard.train.linear import CLASSES
from crimeguard.train.params import LightgbmParams, XgboostParams

Step = Callable[[], None]


@dataclass(frozen=True, slots=True)
class XgboostMember:
    """A fitted XGBoost booster."""

    booster: xgboost.Booster

    def scores(self, dense: Matrix, linear: Floats) -> Floats:
        """Return log-odds of shape (n, 15)."""
        margin = self.booster.inplace_predict(
            dense, base_margin=linear.astype(np.float32), predict_type="margin"
        )
        return np.asarray(margin, np.float64).reshape(len(dense), CLASSES)

    def use_threads(self, threads: int) -> None:
        """Set how many threads a prediction may take."""
        self.booster.set_param({"nthread": threads})

    def save(self, path: Path) -> None:
        """Write XGBoost's own binary JSON."""
        self.booster.save_model(path)

    @classmethod
    def load(cls, path: Path) -> XgboostMember:
        """Read XGBoost's own binary JSON."""
        return cls(xgboost.Booster(model_file=path))


@dataclass(frozen=True, slots=True)
class LightgbmMember:
    """A fitted LightGBM booster; `threads` is how many a prediction may take."""

    booster: lightgbm.Booster
    threads: int = 1

    def scores(self, dense: Matrix, linear: Floats) -> Floats:
        """Return log-odds of shape (n, 15)."""
        table = np.hstack([dense, linear.astype(np.float32)])
        raw = self.booster.predict(table, raw_score=True, num_threads=self.threads)
        return np.asarray(raw, np.float64).reshape(len(dense), CLASSES) + linear

    def save(self, path: Path) -> None:
        """Write LightGBM's own text form."""
        self.booster.save_model(path)

    @classmethod
    def load(cls, path: Path) -> LightgbmMember:
        """Read LightGBM's own text form."""
        return cls(lightgbm.Booster(model_file=path))


def fit_xgboost(
    dense: Matrix, linear: Floats, target: Ints, params: XgboostParams,
    *, seed: int, threads: int, on_step: Step = lambda: None,
) -> XgboostMember:  # fmt: skip
    """Fit vector-leaf trees to what the linear scores of shape (n, 15) leave over."""
    data = xgboost.DMatrix(dense, target, base_margin=linear.astype(np.float32))
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
    return XgboostMember(booster)


def fit_lightgbm(
    dense: Matrix, linear: Floats, target: Ints, params: LightgbmParams,
    *, seed: int, threads: int, on_step: Step = lambda: None,
) -> LightgbmMember:  # fmt: skip
    """Fit trees, on fields and linear scores of shape (n, 15), to what these leave over."""
    table = np.hstack([dense, linear.astype(np.float32)])
    data = lightgbm.Dataset(table, target, init_score=linear.ravel("F"))
    booster = lightgbm.train(
        {
            "objective": "multiclass",
            "num_class": CLASSES,
            "num_leaves": params.num_leaves,
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
    return LightgbmMember(booster)


class _XgboostSteps(xgboost.callback.TrainingCallback):  # type: ignore[misc]
    def __init__(self, on_step: Step) -> None:
        self.on_step = on_step

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002
        self.on_step()
        return False
