"""What a model shows on incidents that it has not seen."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.errors import DataError
from crimeguard.domain.incident import INCIDENT_FIELDS
from crimeguard.domain.level import InformationLevel, level_of
from crimeguard.evaluate.metrics import (
    CalibrationBin,
    CategoryScore,
    Scores,
    calibration_bins,
    confusion,
    log_loss,
    per_category,
    score,
)
from crimeguard.features.columns import Columns, Floats, Ints
from crimeguard.train.fit import targets
from crimeguard.train.model import Model

# Fields whose shuffling is one question: a point has two coordinates.
FIELD_GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "date and time": ("date_occ", "time_occ"),
    "area and district": ("area", "rpt_dist_no"),
    "coordinates": ("lat", "lon"),
    "cross street": ("cross_street",),
    "premise": ("premis_cd",),
    "victim age": ("vict_age",),
    "victim sex": ("vict_sex",),
    "victim descent": ("vict_descent",),
    "days until reported": ("date_rptd",),
    "weapon": ("weapon_used_cd",),
    "MO codes": ("mocodes",),
}
IMPORTANCE_ROWS: Final = 5_000


@dataclass(frozen=True, slots=True)
class LevelEvaluation:
    """Scores at one information level.

    `coverage` is the share of incidents whose category is in the conformal set,
    `set_size` the mean number of categories in it.
    """

    level: str
    scores: Scores
    coverage: float
    set_size: float
    calibration: list[CalibrationBin]
    categories: list[CategoryScore]
    confusion: list[list[int]]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A model on a hold-out: by level, and what each field is worth.

    `importance` is the rise in log-loss (nats) when a field is shuffled among incidents,
    at the highest level; `base_rate_log_loss` that of always answering the shares of the
    hold-out's own categories.
    """

    first: dt.date
    last: dt.date
    rows: int
    base_rate_log_loss: float
    majority_share: float
    levels: dict[str, LevelEvaluation]
    importance: dict[str, float]

    @property
    def best(self) -> LevelEvaluation:
        """The evaluation at the highest level there is."""
        return list(self.levels.values())[-1]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-able values."""
        plain: dict[str, Any] = finite(asdict(self))
        plain["first"], plain["last"] = self.first.isoformat(), self.last.isoformat()
        return plain

    def metrics(self) -> dict[str, float]:
        """Return the scores under flat names, e.g. `report_accuracy`; undefined ones left out."""
        flat = {"test_rows": float(self.rows), "base_rate_log_loss": self.base_rate_log_loss}
        for level, item in self.levels.items():
            values = {**item.scores.to_dict(), "coverage": item.coverage, "set_size": item.set_size}
            flat |= {f"{level}_{name}": value for name, value in values.items() if name != "rows"}
        return {name: value for name, value in flat.items() if math.isfinite(value)}


def finite(value: Any) -> Any:
    """Return nested values with None for what is not a number, as JSON has no word for it."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def evaluate_model(
    model: Model,
    test: pl.DataFrame,
    *,
    seed: int = 0,
    on_step: Callable[[str], None] = lambda _: None,
) -> Evaluation:
    """Score a model at every level that the test incidents have."""
    if not test.height:
        raise DataError("There is no incident to score.", why="The test window is empty.",
                        fix="Choose other dates, or give more data.")  # fmt: skip
    truth = targets(test)
    levels = {}
    for level in InformationLevel:
        if level <= level_of(test.columns):
            on_step(f"score at level {level.label}")
            levels[level.label] = _evaluate_level(model, test, truth, level)
    on_step("worth of each field")
    shares = np.bincount(truth, minlength=len(CATEGORIES)) / len(truth)
    return Evaluation(
        first=_date(test["date_occ"].min()),
        last=_date(test["date_occ"].max()),
        rows=test.height,
        base_rate_log_loss=log_loss(np.tile(shares, (len(truth), 1)), truth),
        majority_share=float(shares.max()),
        levels=levels,
        importance=field_importance(model, test, truth, seed=seed),
    )


def _evaluate_level(
    model: Model, test: pl.DataFrame, truth: Ints, level: InformationLevel
) -> LevelEvaluation:
    columns = Columns.from_frame(test, level=level)
    probabilities = model.probabilities(columns)
    inside = model.prediction_sets(probabilities, columns)
    return LevelEvaluation(
        level=level.label,
        scores=score(probabilities, truth),
        coverage=float(inside[np.arange(len(truth)), truth].mean()),
        set_size=float(inside.sum(axis=1).mean()),
        calibration=calibration_bins(probabilities, truth),
        categories=per_category(probabilities, truth),
        confusion=confusion(probabilities, truth).tolist(),
    )


def field_importance(
    model: Model, test: pl.DataFrame, truth: Ints, *, seed: int
) -> dict[str, float]:
    """Return the rise in log-loss (nats) when each field is shuffled (Breiman 2001)."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(test.height)[:IMPORTANCE_ROWS]
    sample, true = test[chosen], truth[chosen]
    plain = log_loss(_probabilities(model, sample), true)
    order = rng.permutation(sample.height)
    worth = {}
    for name, fields in FIELD_GROUPS.items():
        present = [field for field in fields if field in sample.columns]
        if present:
            shuffled = sample.with_columns(sample.select(present)[order])
            worth[name] = log_loss(_probabilities(model, shuffled), true) - plain
    return dict(sorted(worth.items(), key=lambda item: -item[1]))


def _probabilities(model: Model, frame: pl.DataFrame) -> Floats:
    return model.probabilities(Columns.from_frame(frame))


def _date(value: object) -> dt.date:
    if not isinstance(value, dt.date):
        raise DataError("There is an incident without a date.")
    return value


if not {field for group in FIELD_GROUPS.values() for field in group} >= set(INCIDENT_FIELDS) - {
    "location"
}:  # pragma: no cover
    raise AssertionError("every field that the model sees has its worth measured")
