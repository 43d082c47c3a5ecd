from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.codes import crime_codes
from crimeguard.domain.errors import DataError
from crimeguard.domain.level import InformationLevel
from crimeguard.evaluate.metrics import log_loss
from crimeguard.evaluate.reference import make_reference
from crimeguard.features.columns import Columns, Floats, Ints
from crimeguard.features.featurizer import Features, Featurizer
from crimeguard.registry.bundle import Bundle, write_bundle
from crimeguard.registry.golden import golden_answers
from crimeguard.train import fit
from crimeguard.train.crew import Here
from crimeguard.train.fit import Shown, fit_model, take, targets
from crimeguard.train.linear import CLASSES
from crimeguard.train.model import Model
from crimeguard.train.params import LinearParams, Params
from crimeguard.train.pool import fit_pool

UNTIL = dt.date(2023, 2, 28)


@pytest.fixture(scope="module")
def small(tiny_params: Params) -> Params:
    return replace(tiny_params, linear=replace(tiny_params.linear, iterations=5),
                   xgboost=replace(tiny_params.xgboost, rounds=2),
                   lightgbm=replace(tiny_params.lightgbm, rounds=2))  # fmt: skip


def with_codes(codes: list[int | None]) -> pl.DataFrame:
    return pl.DataFrame({"crm_cd": pl.Series(codes, dtype=pl.Int32)})


def test_targets_are_the_places_of_the_categories() -> None:
    codes = list(crime_codes())
    places = targets(with_codes([*codes]))
    assert [CATEGORIES[place] for place in places] == [
        crime_codes()[code].category for code in codes
    ]
    assert set(places) == set(range(15))


@pytest.mark.parametrize("code", [999, 0, None])
def test_a_code_that_no_table_knows_is_an_error_and_never_silently_other(code: int | None) -> None:
    with pytest.raises(DataError, match="1 incidents have a crime code that no table knows") as e:
        targets(with_codes([510, code, 624]))
    assert str(code) in e.value.why


def test_incidents_without_codes_cannot_be_learnt_from(incidents: pl.DataFrame) -> None:
    with pytest.raises(DataError, match="no crime codes"):
        targets(incidents.drop("crm_cd"))


def test_every_incident_is_shown_once_a_level(incidents: pl.DataFrame) -> None:
    few = incidents.head(30)
    shown = Shown.of(few)
    assert shown.columns.level.tolist() == [0] * 30 + [1] * 30 + [2] * 30
    assert shown.target.tolist() == targets(few).tolist() * 3
    assert shown.incident.tolist() == [*range(30)] * 3
    called = Shown.of(few.select("dr_no", "date_occ", "area", "crm_cd"))
    assert set(called.columns.level) == {InformationLevel.CALL}
    assert len(called.target) == 30


def test_take_picks_features_of_rows(incidents: pl.DataFrame) -> None:
    columns = Columns.from_frame(incidents.head(60))
    featurizer = Featurizer.fit(columns, min_count=2, mo_columns=5)
    index = np.array([50, 3, 3, 17])
    picked = take(featurizer.transform(columns), index)
    expected = featurizer.transform(columns.take(index))
    assert np.array_equal(picked.dense, expected.dense, equal_nan=True)
    assert np.array_equal(picked.offsets, expected.offsets)
    assert np.array_equal(picked.indices, expected.indices)


def test_boosters_stand_on_scores_of_blocks_of_time_that_were_not_seen(
    incidents: pl.DataFrame, small: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Shown.of(incidents.sort("date_occ").head(300))
    columns = Featurizer.fit(shown.columns, min_count=10, mo_columns=20).transform(shown.columns)
    where = dict(zip(map(bytes, columns.dense), shown.incident.tolist(), strict=True))
    assert len(where) > 850
    pairs: list[tuple[set[int], set[int]]] = []

    class Spy:
        def __init__(self, features: Features) -> None:
            self.fitted = {where[bytes(row)] for row in features.dense}

        def scores(self, features: Features) -> Floats:
            pairs.append((self.fitted, {where[bytes(row)] for row in features.dense}))
            return np.zeros((len(features.dense), CLASSES))

    class Nothing:
        @staticmethod
        def of(*_: object) -> None: ...

    monkeypatch.setattr(fit, "fit_linear", lambda features, *_, **__: Spy(features))
    monkeypatch.setattr(fit, "fit_neural", lambda features, *_, **__: Spy(features))
    for name in ("fit_xgboost", "fit_lightgbm"):
        monkeypatch.setattr(fit, name, lambda *_, **__: None)
    monkeypatch.setattr(fit, "Boosters", Nothing)
    monkeypatch.setattr(fit, "Members", lambda *_: None)
    params = replace(small, linear=LinearParams(folds=3))
    fit._fit_members(shown, params, Here(1), fit._Steps(lambda *_: None, 1), "x")
    blocks = {frozenset(scored) for _, scored in pairs}
    assert len(blocks) == 3
    assert set().union(*blocks) == set(range(300))
    for fitted, scored in pairs:
        assert fitted.isdisjoint(scored)
        assert len(fitted) + len(scored) == 300
        assert max(scored) - min(scored) + 1 == len(scored) == 100


def written(model: Model, frame: pl.DataFrame, folder: Path) -> Bundle:
    def probabilities(level: InformationLevel) -> Floats:
        return model.probabilities(Columns.from_frame(frame, level=level))

    reference = make_reference(frame, targets(frame), frame, targets(frame), probabilities)
    return write_bundle(
        model, folder, card={"name": "x"}, golden=golden_answers(model), reference=reference
    )


def test_the_same_seed_makes_the_same_bytes(
    incidents: pl.DataFrame, small: Params, tmp_path: Path
) -> None:
    made = []
    for number, frame in enumerate(
        (incidents.sample(1200, seed=1), incidents.sample(1200, seed=1).clone())
    ):
        model = fit_model(frame, UNTIL, small)
        bundle = written(model, frame, tmp_path / str(number))
        made.append(bundle.sha256)
    assert made[0] == made[1]
    model = fit_model(incidents.sample(1200, seed=1), UNTIL, replace(small, seed=small.seed + 1))
    other = written(model, incidents.sample(1200, seed=1), tmp_path / "o")
    assert other.sha256 != made[0]


def test_the_order_of_the_rows_of_different_days_changes_nothing(
    incidents: pl.DataFrame, small: Params
) -> None:
    columns = Columns.from_frame(incidents.tail(50))
    ordered = incidents.sample(900, seed=2).sort("date_occ", maintain_order=True)
    one, other = (
        fit_model(rows, UNTIL, small).probabilities(columns)
        for rows in (ordered, ordered.sort("date_occ", descending=True, maintain_order=True))
    )
    assert one.tobytes() == other.tobytes()


def test_labels_without_meaning_teach_nothing(incidents: pl.DataFrame, tiny_params: Params) -> None:
    mixed = incidents.sample(fraction=1, shuffle=True, seed=4)
    train, test = mixed.head(2600), mixed.tail(1400)
    shuffled = train.with_columns(pl.col("crm_cd").shuffle(seed=3))
    truth = targets(test)
    shares = np.bincount(targets(train), minlength=15) / train.height
    base = log_loss(np.tile(shares, (test.height, 1)), truth)
    columns = Columns.from_frame(test)
    learnt = {
        name: model.probabilities(columns)
        for name, model in (
            ("true", fit_model(train, UNTIL, tiny_params)),
            ("shuffled", fit_model(shuffled, UNTIL, tiny_params)),
        )
    }
    assert log_loss(learnt["true"], truth) < base - 1
    assert log_loss(learnt["shuffled"], truth) > base - 0.02
    right = (learnt["shuffled"].argmax(axis=1) == truth).mean()
    assert right < shares.max() + 0.05


def test_progress_counts_up_to_its_end(incidents: pl.DataFrame, small: Params) -> None:
    told: list[tuple[str, int, int]] = []
    fit_model(incidents.sample(800, seed=1), UNTIL, small, lambda *step: told.append(step))
    assert [done for _, done, _ in told] == [*range(1, len(told) + 1)]
    assert {total for _, _, total in told} == {len(told)}
    assert any("older" in name for name, _, _ in told)


def test_one_category_is_nothing_to_tell_apart(incidents: pl.DataFrame, small: Params) -> None:
    alike = incidents.with_columns(crm_cd=pl.lit(510, pl.Int32))
    with pytest.raises(DataError, match="nothing to tell apart"):
        fit_model(alike, UNTIL, small)


def test_two_categories_are_enough(incidents: pl.DataFrame, small: Params) -> None:
    two = incidents.sample(800, seed=1).with_columns(
        crm_cd=pl.when(pl.col("premis_cd") == 101).then(510).otherwise(624).cast(pl.Int32)
    )
    shares = fit_model(two, UNTIL, small).probabilities(Columns.from_frame(two))
    named = set(targets(two))
    assert set(shares.argmax(axis=1)) <= named
    assert (shares.argmax(axis=1) == targets(two)).mean() > 0.9


def test_a_handful_of_incidents_is_too_few(incidents: pl.DataFrame, small: Params) -> None:
    few = incidents.sort("date_occ")[:: incidents.height // 12]
    with pytest.raises(DataError, match="too few"):
        fit_model(few, UNTIL, small)


def test_the_newest_days_are_kept_from_what_is_calibrated(
    incidents: pl.DataFrame, small: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    pooled: list[int] = []
    true_members, true_pool = fit._fit_members, fit_pool

    def members(shown: Shown, *rest: object) -> object:
        seen.append(int(shown.columns.day.max()))
        return true_members(shown, *rest)  # type: ignore[arg-type]

    def pool(scores: list[Floats], levels: Ints, target: Ints, offsets: Floats) -> object:
        pooled.append(len(target))
        return true_pool(scores, levels, target, offsets)

    monkeypatch.setattr(fit, "_fit_members", members)
    monkeypatch.setattr(fit, "fit_pool", pool)
    fit_model(incidents, UNTIL, small)
    last = (UNTIL - dt.date(1970, 1, 1)).days
    days = small.split.calibration_days
    assert seen == [last - days - small.split.embargo_days, last]
    newest = incidents.filter(pl.col("date_occ") > UNTIL - dt.timedelta(days)).height
    assert pooled == [3 * newest]


def test_a_changed_mix_moves_the_answers_to_it(incidents: pl.DataFrame, small: Params) -> None:
    train = incidents.sample(1500, seed=4)
    columns = Columns.from_frame(incidents.tail(1000))
    plain = fit_model(train, UNTIL, small).probabilities(columns).mean(axis=0)
    shares = np.bincount(targets(train), minlength=len(CATEGORIES)) / train.height
    same = fit_model(train, UNTIL, small, mix=shares).probabilities(columns).mean(axis=0)
    assert same == pytest.approx(plain, abs=0.01)
    more = shares.copy()
    more[CATEGORIES.index("robbery")] *= 4
    moved = fit_model(train, UNTIL, small, mix=more).probabilities(columns).mean(axis=0)
    place = CATEGORIES.index("robbery")
    assert moved[place] > 1.3 * plain[place]
    assert np.delete(moved, place).sum() < np.delete(plain, place).sum()
