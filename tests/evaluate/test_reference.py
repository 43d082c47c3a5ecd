from __future__ import annotations

import datetime as dt
import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.level import InformationLevel
from crimeguard.evaluate.distance import correlation_pairs
from crimeguard.evaluate.reference import (
    SAMPLE,
    SAMPLE_ROWS,
    TABLE,
    LevelReference,
    Reference,
    _natural,
    _weeks,
    daily_counts,
    make_reference,
)
from crimeguard.evaluate.watched import WATCHED, watched_frame
from crimeguard.features.columns import Floats, Ints
from crimeguard.train.fit import targets

MONDAY = dt.date(2023, 1, 2)


def days(*offsets: int) -> pl.Series:
    return pl.Series([MONDAY + dt.timedelta(offset) for offset in offsets], dtype=pl.Date)


def answers(rows: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).dirichlet(np.ones(len(CATEGORIES)), rows)


def reference_of(train: pl.DataFrame, test: pl.DataFrame, *, seed: int = 0) -> Reference:
    return make_reference(
        train, targets(train), test, targets(test),
        lambda level: answers(test.height, int(level)), seed=seed,
    )  # fmt: skip


@pytest.fixture(scope="module")
def train(incidents: pl.DataFrame) -> pl.DataFrame:
    return incidents.sort("date_occ", "dr_no").head(3_200)


@pytest.fixture(scope="module")
def test(incidents: pl.DataFrame) -> pl.DataFrame:
    return incidents.sort("date_occ", "dr_no").tail(800)


@pytest.fixture(scope="module")
def found(train: pl.DataFrame, test: pl.DataFrame) -> Reference:
    return reference_of(train, test)


# -- files -----------------------------------------------------------------------------


def test_what_is_written_is_read_as_it_was(found: Reference, tmp_path: Path) -> None:
    for name, content in found.files().items():
        (tmp_path / name).write_bytes(content)
    again = Reference.load(tmp_path)
    assert again.sample.equals(found.sample)
    assert again.sample.schema == found.sample.schema
    for item in fields(Reference):
        if item.name != "sample":
            assert getattr(again, item.name) == getattr(found, item.name), item.name
    assert again.files() == found.files()
    assert again.bins() == found.bins()


def test_the_same_input_makes_the_same_bytes(
    found: Reference, train: pl.DataFrame, test: pl.DataFrame
) -> None:
    assert reference_of(train, test).files() == found.files()
    assert set(found.files()) == {TABLE, SAMPLE}


def test_the_seed_draws_the_sample(train: pl.DataFrame, test: pl.DataFrame) -> None:
    many = pl.concat([train] * 4)
    one, same, other = (reference_of(many, test, seed=seed).sample for seed in (1, 1, 2))
    assert one.equals(same)
    assert not one.equals(other)


def test_the_size_does_not_grow_with_the_rows(
    found: Reference, train: pl.DataFrame, test: pl.DataFrame
) -> None:
    assert found.sample.height == found.rows == train.height  # fewer than the sample holds
    sizes = []
    for times in (4, 16):
        large = reference_of(pl.concat([train] * times), test)
        assert large.sample.height == SAMPLE_ROWS
        assert large.rows == times * train.height
        sizes.append({name: len(content) for name, content in large.files().items()})
    for name in (TABLE, SAMPLE):
        assert sizes[1][name] < 1.3 * sizes[0][name]  # of four times the rows
    assert sum(sizes[1].values()) < 1_000_000


def test_no_number_of_it_is_nan(found: Reference) -> None:
    table = json.loads(found.files()[TABLE])
    assert table["first"] <= table["last"]
    assert b"NaN" not in found.files()[TABLE]


# -- what it says of the training days --------------------------------------------------


def test_the_sample_is_the_watched_fields_with_the_label(
    found: Reference, train: pl.DataFrame
) -> None:
    expected = watched_frame(train)
    assert found.sample.drop("label").equals(expected)
    assert found.sample["label"].to_list() == [CATEGORIES[place] for place in targets(train)]
    assert found.first == str(train["date_occ"].min())
    assert found.last == str(train["date_occ"].max())


def test_labels_are_counted(found: Reference, train: pl.DataFrame) -> None:
    assert sum(found.labels) == train.height
    assert found.labels == tuple(np.bincount(targets(train), minlength=15).tolist())


def test_every_component_has_a_natural_distance(found: Reference) -> None:
    names = {field.name for field in WATCHED} | {"labels"} | set(correlation_pairs())
    assert set(found.natural) == names
    assert all(0 <= value < 0.5 for value in found.natural.values())
    assert found.volume_natural >= 0


def test_weeks_that_differ_have_a_natural_distance_and_weeks_alike_have_none(
    train: pl.DataFrame,
) -> None:
    rng = np.random.default_rng(1)
    weeks = np.repeat(np.arange(6), 500)
    fields = watched_frame(train).sample(len(weeks), with_replacement=True, seed=1)
    truth = rng.integers(0, 15, len(weeks))
    even = _natural(fields, truth, weeks)
    # Every other week happens elsewhere, and is of other categories.
    moved = fields.with_columns(
        area=pl.when(pl.Series(weeks % 2 == 1)).then(pl.lit(21, pl.Int32)).otherwise("area")
    )
    other = np.where(weeks % 2 == 1, truth % 3, truth)
    found = _natural(moved, other, weeks)
    assert even["area"] < 0.05 < 0.4 < found["area"]
    assert even["labels"] < 0.05 < 0.4 < found["labels"]
    assert found["premis_cd"] == even["premis_cd"] < 0.05
    # No whole week, no measure of how weeks differ.
    assert set(_natural(fields, truth, np.full(len(weeks), -1)).values()) == {0.0}
    # One week is nothing to compare with itself, and thin ones are mostly noise.
    assert set(_natural(fields, truth, np.zeros(len(weeks), np.int64)).values()) == {0.0}
    assert set(_natural(fields, truth, np.arange(len(weeks)) // 100).values()) == {0.0}


def test_weeks_count_from_the_first_day_and_an_unfinished_one_is_none() -> None:
    assert _weeks(days(*range(14))).tolist() == [0] * 7 + [1] * 7
    assert _weeks(days(*range(16))).tolist() == [0] * 7 + [1] * 7 + [-1] * 2
    assert _weeks(days(13, 0, 6, 7)).tolist() == [1, 0, 0, 1]
    assert _weeks(days(0, 5)).tolist() == [-1, -1]
    assert _weeks(days(0, 6)).tolist() == [0, 0]


def test_the_volume_is_that_of_the_usual_day(found: Reference, train: pl.DataFrame) -> None:
    counts = train["date_occ"].value_counts()["count"]
    assert found.daily == pytest.approx(np.median(counts), abs=2)
    assert 0 < found.volume_natural < 0.3


# -- daily counts ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offsets", "expected"),
    [
        ((), []),
        ((3, 3, 3), [3]),
        ((3, 3, 4), [2, 1]),
        ((0, 1, 1, 2), [2]),
        ((0, 1, 1, 4, 5), [2, 0, 0, 1]),
    ],
)
def test_days_are_counted_without_the_outermost(
    offsets: tuple[int, ...], expected: list[float]
) -> None:
    assert daily_counts(days(*offsets)).tolist() == expected
    assert daily_counts(days(*reversed(offsets))).tolist() == expected


def test_what_is_reported_late_does_not_stretch_the_window() -> None:
    window = [day for day in range(400, 410) for _ in range(100)]
    found = daily_counts(days(*window, *range(0, 390, 39)))
    assert found.tolist() == [100] * 8
    assert daily_counts(pl.concat([days(*window), pl.Series([None], dtype=pl.Date)])).tolist() == (
        [100] * 8
    )


# -- what it says of the model ---------------------------------------------------------


def test_a_level_is_measured_on_the_hold_out(found: Reference, test: pl.DataFrame) -> None:
    assert list(found.levels) == [level.label for level in InformationLevel]
    truth = targets(test)
    for level in InformationLevel:
        shares, item = answers(test.height, int(level)), found.levels[level.label]
        hits = shares.argmax(axis=1) == truth
        sure = shares.max(axis=1)
        assert item.rows == test.height
        assert item.accuracy == pytest.approx(hits.mean())
        assert item.confidence == pytest.approx(sure.mean())
        assert item.gap == pytest.approx(item.accuracy - item.confidence)
        assert item.gap_error == pytest.approx((hits - sure).std() / np.sqrt(test.height))


def level_of(probabilities: Floats, truth: Ints, day: Ints) -> LevelReference:
    return LevelReference.of(probabilities, truth, day, np.ones(len(truth)))


def test_days_that_differ_by_chance_only_have_no_spread() -> None:
    rng = np.random.default_rng(5)
    shares = answers(6_000, 5)
    truth = np.array([rng.choice(15, p=row) for row in shares])
    day = np.repeat(np.arange(20), 300)
    assert level_of(shares, truth, day).gap_spread < 0.012
    # On every other day the model is wrong more often than it says.
    worse = np.where((day % 2 == 1) & (rng.random(len(day)) < 0.5), -1, truth)
    found = level_of(shares, worse, day)
    hits = shares.argmax(axis=1) == worse
    between = abs(hits[day % 2 == 0].mean() - hits[day % 2 == 1].mean()) / 2
    assert found.gap_spread == pytest.approx(between, abs=0.02)
    assert level_of(shares, worse, np.zeros(len(day), np.int64)).gap_spread == 0


def test_predictions_are_counted_as_of_the_training_days_mix(
    train: pl.DataFrame, test: pl.DataFrame
) -> None:
    """A perfect model: reweighted, its predictions have the shares of the training labels."""
    truth = targets(test)
    perfect = np.eye(15)[truth]
    # The hold-out has a mix of its own: half of one category is missing.
    kept = (truth != np.bincount(truth).argmax()) | (np.arange(len(truth)) % 2 == 0)
    skewed, own = test.filter(pl.Series(kept)), truth[kept]
    found = make_reference(
        train, targets(train), skewed, own, lambda _: perfect[kept], seed=0
    ).levels["report"]
    shares = np.bincount(targets(train), minlength=15) / train.height
    shares = np.where(np.bincount(own, minlength=15) > 0, shares, 0)
    np.testing.assert_allclose(
        np.array(found.predicted) / sum(found.predicted), shares / shares.sum(), atol=1e-9
    )
    assert sum(found.predicted) == pytest.approx(len(own))
    raw = np.bincount(own, minlength=15) / len(own)
    assert np.abs(raw - shares).max() > 0.04


def test_a_hold_out_of_categories_never_trained_on_is_counted_as_it_is(
    train: pl.DataFrame, test: pl.DataFrame
) -> None:
    common = int(np.bincount(targets(train)).argmax())
    only = test.filter(pl.Series(targets(test) == common))
    others = train.filter(pl.Series(targets(train) != common))
    found = reference_of(others, only).levels["call"]
    assert sum(found.predicted) == pytest.approx(only.height)


def test_the_classes_are_those_of_the_sample(found: Reference) -> None:
    bins = found.bins()
    assert list(bins) == [field.name for field in WATCHED]
    assert bins["area"].counts(found.sample["area"]).sum() == found.sample.height
    fewer = replace(found, sample=found.sample.filter(pl.col("area") == 3))
    assert fewer.bins()["area"].values == (3,)


def test_volumes_are_of_all_incidents_where_the_training_rows_are_a_sample(
    train: pl.DataFrame, test: pl.DataFrame, found: Reference
) -> None:
    sample = train.gather_every(4)
    args = (sample, targets(sample), test, targets(test))

    def of(level: object) -> Floats:
        return answers(test.height)

    assert make_reference(*args, of, days=train["date_occ"]).daily == found.daily
    assert make_reference(*args, of).daily == pytest.approx(found.daily / 4, rel=0.2)
