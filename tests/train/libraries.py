"""The tree members as their own libraries answer, which serve nowhere but here."""

from __future__ import annotations

import lightgbm
import numpy as np
import xgboost

from crimeguard.features.columns import Floats
from crimeguard.features.dense import Matrix
from crimeguard.train.linear import CLASSES
from crimeguard.train.trees import LightgbmTrees, XgboostTrees, with_linear


def answer(
    member: XgboostTrees | LightgbmTrees,
    dense: Matrix,
    linear: Floats,
    *,
    start: Floats | None = None,
) -> Floats:
    """Return log-odds of shape (n, 15) that start from the linear scores or from others."""
    table, start = with_linear(dense, linear), linear if start is None else start
    if isinstance(member, XgboostTrees):
        theirs = xgboost.Booster({"nthread": 1}, model_file=bytearray(member.native))
        margin = theirs.inplace_predict(
            table, base_margin=start.astype(np.float32), predict_type="margin"
        )
        return np.asarray(margin, np.float64).reshape(len(table), CLASSES)
    booster = lightgbm.Booster(model_str=member.native.decode())
    raw = booster.predict(table, raw_score=True, num_threads=1)
    return np.asarray(raw, np.float64).reshape(len(table), CLASSES) + start
