"""From training incidents to a model: members, pool, conformal thresholds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from crimeguard.domain.errors import DataError
from crimeguard.domain.level import InformationLevel
from crimeguard.features.columns import Columns, Floats, Ints, concatenate
from crimeguard.features.featurizer import Features, Featurizer
from crimeguard.ingest.coded import category_places, code_text, has_codes
from crimeguard.train.boosters import fit_lightgbm, fit_xgboost
from crimeguard.train.conformal import fit_conformal
from crimeguard.train.crew import Crew, Here
from crimeguard.train.linear import CLASSES, LinearMember, fit_linear
from crimeguard.train.model import Members, Model
from crimeguard.train.neural import fit_neural
from crimeguard.train.params import Params
from crimeguard.train.pool import fit_pool, mix_offsets
from crimeguard.train.split import calibration_split
from crimeguard.train.trees import Boosters

Progress = Callable[[str, int, int], None]


def targets(frame: pl.DataFrame) -> Ints:
    """Return the place of each incident's category in CATEGORIES, shape (n,).

    Raises DataError for codes that no table knows.
    """
    if not has_codes(frame):
        raise DataError("The data hold no crime codes.", why="There is no column 'Crm Cd'.",
                        fix="Train and evaluate on incidents whose category is known.")  # fmt: skip
    places = category_places(frame)
    if places.null_count():
        codes = code_text(frame).filter(places.is_null()).unique().sort().to_list()[:10]
        raise DataError(f"{places.null_count():,} incidents have a crime code that no table knows.",
                        why=f"Codes: {', '.join(map(str, codes))}.",
                        fix="Correct them; `crimeguard validate` lists the rows.")  # fmt: skip
    return places.to_numpy()


@dataclass(frozen=True, slots=True)
class Shown:
    """Incidents shown once at each level: 3 n rows of columns, with their categories."""

    columns: Columns
    target: Ints
    incident: Ints  # which incident a row shows, in order of time

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Shown:
        """Show every incident of a frame, in the order of the frame, at the levels it has."""
        columns = Columns.from_frame(frame)
        known = [lev for lev in InformationLevel if lev <= int(columns.level.max(initial=0))]
        return cls(
            concatenate([columns.at_level(level) for level in known]),
            np.tile(targets(frame), len(known)),
            np.tile(np.arange(frame.height), len(known)),
        )


def fit_model(
    train: pl.DataFrame,
    train_until: dt.date,
    params: Params,
    progress: Progress = lambda *_: None,
    *,
    mix: Floats | None = None,
    crew: Crew | None = None,
) -> Model:
    """Fit a model on a canonical frame of incidents that occurred by `train_until`.

    Members are fitted twice: on all but the newest days, to pool and calibrate them on
    these, and then on all. `progress` is called with a name, steps done, and steps in all.
    `mix` are the shares of the categories from now on, shape (15,), where they are known to
    be others than those of the training days. `crew` does the work, by default this machine
    with `params.threads`.
    """
    crew = crew or Here(params.threads)
    train = train.sort("date_occ", maintain_order=True)
    older, newest = calibration_split(train, train_until, params.split)
    _require_kinds(targets(older))
    steps = _Steps(progress, 2 * _steps(params))
    held_out = Shown.of(newest)
    featurizer, members = _fit_members(Shown.of(older), params, crew, steps, "fit on older days")
    scores = members.scores(featurizer.transform(held_out.columns))
    levels = held_out.columns.level
    offsets = mix_offsets(mix, targets(older))
    pool = fit_pool(scores, levels, held_out.target, offsets)
    calibrated = pool.probabilities(scores, levels)
    conformal = fit_conformal(calibrated, levels, held_out.target, params.coverage)
    featurizer, members = _fit_members(Shown.of(train), params, crew, steps, "fit on all days")
    pool = replace(pool, offsets=mix_offsets(mix, targets(train)))
    return Model(featurizer, members, pool, conformal)


def _require_kinds(target: Ints) -> None:
    if len(np.unique(target)) < 2:
        raise DataError("There is nothing to tell apart.",
                        why="All incidents to train on are of one category.",
                        fix="Train on incidents of all kinds.")  # fmt: skip


@dataclass(slots=True)
class _Steps:
    progress: Progress
    total: int
    done: int = 0

    def named(self, name: str) -> Callable[[], None]:
        def step() -> None:
            self.done += 1
            self.progress(name, self.done, self.total)

        return step


def _steps(params: Params) -> int:
    linear = (params.linear.folds + 1) * len(InformationLevel)
    return linear + params.xgboost.rounds + params.lightgbm.rounds + params.neural.seeds


def _fit_members(
    shown: Shown, params: Params, crew: Crew, steps: _Steps, name: str
) -> tuple[Featurizer, Members]:
    columns, target = shown.columns, shown.target
    featurizer = Featurizer.fit(
        columns, min_count=params.features.min_count, mo_columns=params.features.mo_columns
    )
    features = featurizer.transform(columns)
    known = featurizer.vocabulary
    linear, unseen = _fit_linear_twice(
        shown, features, known, params, crew, steps.named(f"{name}: linear")
    )
    xgb = fit_xgboost(features.dense, unseen, target, params.xgboost, seed=params.seed,
                      threads=crew.threads, crew=crew,
                      on_step=steps.named(f"{name}: XGBoost"))  # fmt: skip
    lgb, net = crew.each([
        lambda: crew.call(
            fit_lightgbm, features.dense, unseen, target, params.lightgbm, seed=params.seed,
            threads=crew.threads, on_step=steps.named(f"{name}: LightGBM"),
        ),
        lambda: crew.call(
            fit_neural, features, known, target, params.neural, seed=params.seed,
            on_step=steps.named(f"{name}: neural"),
        ),
    ])  # fmt: skip
    return featurizer, Members(linear, Boosters.of(xgb, lgb), net)


def _fit_linear_twice(
    shown: Shown,
    features: Features,
    vocabulary: Ints,
    params: Params,
    crew: Crew,
    step: Callable[[], None],
) -> tuple[LinearMember, Floats]:
    """Fit the linear member on all rows, and score each row by one that has not seen it.

    The latter's folds are blocks of time and not random: one event often makes several
    reports on one day, and a member that has seen one of them would flatter itself on
    the others. The fits are independent and run side by side.
    """
    folds = params.linear.folds
    block = shown.incident * folds // (shown.incident.max() + 1)

    def fit(left_out: int) -> LinearMember:
        rows = np.flatnonzero(block != left_out)
        return crew.call(
            fit_linear, take(features, rows), shown.columns.level[rows], shown.target[rows],
            vocabulary, params.linear, on_step=step,
        )  # fmt: skip

    # Products this small only lose time to BLAS threads that wait for each other.
    with threadpool_limits(1), ThreadPoolExecutor(crew.at_once) as pool:
        member, *others = pool.map(fit, range(-1, folds))
    scores = np.zeros((len(block), CLASSES))
    for fold, other in enumerate(others):
        inside = np.flatnonzero(block == fold)
        scores[inside] = other.scores(take(features, inside))
    return member, scores


def take(features: Features, index: Ints) -> Features:
    """Return the features of the incidents at the given positions."""
    counts = np.diff(features.offsets)[index]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    source = np.repeat(features.offsets[index] - offsets[:-1], counts) + np.arange(offsets[-1])
    return Features(features.dense[index], offsets, features.indices[source])
