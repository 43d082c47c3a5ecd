"""A new predictor answers a few incidents before any caller sees it.

The bundle's own golden rows tell whether the model is what it was; this tells whether the
paths that callers take make sense, and takes the first slow calls off the first callers.
"""

from __future__ import annotations

import datetime as dt
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.errors import BundleError
from crimeguard.domain.incident import Incident
from crimeguard.domain.level import InformationLevel
from crimeguard.features.columns import Columns
from crimeguard.serve.slot import Predicts

log = logging.getLogger(__name__)

_BARE: Final = Incident(
    date_occ=dt.date(2023, 1, 1), area=1, lat=34.05, lon=-118.25, level=InformationLevel.CALL
)
_FULL: Final = Incident(
    date_occ=dt.date(2023, 3, 10), time_occ=2130, area=12, rpt_dist_no=1249, premis_cd=101,
    lat=33.97, lon=-118.29, date_rptd=dt.date(2023, 3, 11), vict_age=34, vict_sex="F",
    vict_descent="H", weapon_used_cd=400, mocodes=(344, 416, 1822),
)  # fmt: skip
INCIDENTS: Final = (_BARE, _FULL)
_TOLERANCE: Final = 1e-6


def warm(predictor: Predicts) -> None:
    """Predict on both paths, alone and in a batch; BundleError unless the answers make sense."""
    singles = predictor.predict(INCIDENTS)
    table = predictor.predict_columns(Columns.from_incidents(INCIDENTS))
    if len(singles) != len(INCIDENTS) or table.shape != (len(INCIDENTS), len(CATEGORIES)):
        raise _refusal(f"{len(singles)} answers and a table of {table.shape} came back.")
    for prediction, row in zip(singles, table, strict=True):
        mine = np.array([prediction.probabilities.get(name, math.nan) for name in CATEGORIES])
        if not (np.isfinite(mine).all() and abs(mine.sum() - 1) <= _TOLERANCE):
            raise _refusal("The probabilities of an incident do not sum to 1.")
        if not np.allclose(mine, row, atol=_TOLERANCE):
            raise _refusal("One incident alone and in a batch get different probabilities.")


def ready(folder: Path, load: Callable[[Path], Predicts]) -> Predicts:
    """Return a predictor that has answered; whatever goes wrong on the way, it is refused."""
    try:
        predictor = load(folder)
        warm(predictor)
    except BundleError:
        raise
    except Exception as error:
        log.exception("a bundle could not be loaded")
        raise BundleError("The bundle cannot be loaded.",
                          why=f"{type(error).__name__}.") from error  # fmt: skip
    return predictor


def _refusal(why: str) -> BundleError:
    return BundleError("The bundle does not answer as it should.", why=why,
                       fix="Train it again; the bundle in service stays.")  # fmt: skip
