from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial import distance as reference

from crimeguard.evaluate.distance import (
    Bins,
    chi_square,
    correlation_pairs,
    correlations,
    distance,
    excess,
    jensen_shannon,
    known_numbers,
    kolmogorov_smirnov,
    wasserstein,
)
from crimeguard.evaluate.watched import BY_NAME, WATCHED, watched_frame

Floats = NDArray[np.float64]

_counts = st.lists(
    st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)), min_size=1, max_size=40
).filter(lambda pairs: all(sum(side) for side in zip(*pairs, strict=True)))


def columns(pairs: list[tuple[int, int]]) -> tuple[Floats, Floats]:
    first, second = zip(*pairs, strict=True)
    return np.array(first, np.float64), np.array(second, np.float64)


# -- between shares --------------------------------------------------------------------


@settings(deadline=None)
@given(_counts)
def test_jensen_shannon_is_the_square_of_scipys_distance(pairs: list[tuple[int, int]]) -> None:
    first, second = columns(pairs)
    found = jensen_shannon(first, second)
    assert found == pytest.approx(reference.jensenshannon(first, second, base=2) ** 2, abs=1e-12)
    assert 0 <= found <= 1 + 1e-12
    assert found == pytest.approx(jensen_shannon(second, first), abs=1e-12)


def test_jensen_shannon_has_both_its_ends() -> None:
    one, other = np.array([3.0, 1.0, 0.0]), np.array([0.0, 0.0, 7.0])
    assert jensen_shannon(one, 5 * one) == 0
    assert jensen_shannon(one, other) == 1
    assert distance(1000 * one, 1000 * one) == 0
    assert distance(1e6 * one, 1e6 * other) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("classes", [2, 5, 15, 32])
@pytest.mark.parametrize("rows", [(2_000, 10_000), (3_000, 700)])
def test_what_chance_makes_is_taken_off(classes: int, rows: tuple[int, int]) -> None:
    rng = np.random.default_rng(classes)
    shares = rng.dirichlet(np.full(classes, 5.0))
    drawn = [tuple(rng.multinomial(n, shares).astype(np.float64) for n in rows)
             for _ in range(500)]  # fmt: skip
    raw = np.array([jensen_shannon(*pair) for pair in drawn])
    left = np.array([excess(*pair) for pair in drawn])
    error = left.std() / math.sqrt(len(left))
    assert abs(left.mean()) < 3 * error
    assert raw.mean() > 10 * error


def test_what_is_no_chance_is_left() -> None:
    rng = np.random.default_rng(1)
    before, now = np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.3, 0.3])
    true = jensen_shannon(before, now)
    found = [
        excess(rng.multinomial(10_000, before).astype(float),
               rng.multinomial(1_000, now).astype(float))
        for _ in range(300)
    ]  # fmt: skip
    assert np.mean(found) == pytest.approx(true, rel=0.05)
    assert distance(1e7 * before, 1e7 * now) == pytest.approx(math.sqrt(true), rel=1e-3)


def test_an_empty_sample_is_no_distance() -> None:
    some, none = np.array([3.0, 4.0]), np.zeros(2)
    assert excess(some, none) == excess(none, some) == distance(none, none) == 0
    # Fewer incidents than chance explains: below nothing, and the distance is none.
    assert excess(np.array([2.0, 1.0]), np.array([1.0, 2.0])) < 0
    assert distance(np.array([2.0, 1.0]), np.array([1.0, 2.0])) == 0


@settings(deadline=None)
@given(_counts)
def test_chi_square_is_scipys_on_the_classes_that_there_are(pairs: list[tuple[int, int]]) -> None:
    first, second = columns(pairs)
    seen = (first + second) > 0
    found = chi_square(first, second)
    if seen.sum() < 2:
        assert found == 1
    else:
        table = np.vstack([first, second])[:, seen]
        assert found == stats.chi2_contingency(table).pvalue
    assert 0 <= found <= 1


def test_chi_square_of_nothing_is_no_evidence() -> None:
    assert chi_square(np.array([5.0, 6.0]), np.zeros(2)) == 1
    assert chi_square(np.array([5.0, 0.0]), np.array([9.0, 0.0])) == 1


# -- between numbers -------------------------------------------------------------------


def test_numbers_are_compared_as_scipy_does() -> None:
    rng = np.random.default_rng(3)
    before, now = rng.normal(3, 2, 900), rng.normal(4, 2, 400)
    expected = stats.ks_2samp(before, now, method="asymp")
    assert kolmogorov_smirnov(before, now) == (expected.statistic, expected.pvalue)
    # In standard deviations: the unit of a field must not matter.
    found = wasserstein(before, now)
    assert found == pytest.approx(stats.wasserstein_distance(before, now) / before.std())
    assert wasserstein(60 * before + 7, 60 * now + 7) == pytest.approx(found)
    assert found == pytest.approx(0.5, abs=0.15)


def test_numbers_that_are_not_there_are_no_distance() -> None:
    some, none, alike = np.array([1.0, 2.0]), np.zeros(0), np.full(5, 3.0)
    for pair in ((some, none), (none, some), (none, none)):
        assert kolmogorov_smirnov(*pair) == (0, 1)
        assert wasserstein(*pair) == 0
    assert wasserstein(alike, some) == 0


@pytest.mark.slow
def test_evidently_finds_the_same(incidents: pl.DataFrame) -> None:
    """Where both mean the same: on numbers, and on codes that are few enough not to be binned."""
    from crimeguard.monitor.report import Kind, drift_report

    fields = watched_frame(incidents).drop_nulls(["area", "vict_sex", "hour", "lat", "vict_age"])
    before, now = fields.head(2000), fields.tail(1200)
    now = now.with_columns(pl.col("hour") // 2, area=pl.max_horizontal("area", pl.lit(4)))
    kinds: dict[str, Kind] = {
        "hour": "numeric", "lat": "numeric", "vict_age": "numeric",
        "area": "categorical", "vict_sex": "categorical",
    }  # fmt: skip
    found = drift_report(before, now, kinds, html=None)
    for name in ("hour", "lat", "vict_age"):
        one, other = known_numbers(before[name]), known_numbers(now[name])
        assert found[name]["wasserstein"] == pytest.approx(wasserstein(one, other), rel=1e-9)
        expected = stats.ks_2samp(one, other).pvalue
        assert found[name]["ks"] == pytest.approx(expected, rel=1e-9)
        assert kolmogorov_smirnov(one, other)[1] == pytest.approx(expected, rel=0.05)
    for name in ("area", "vict_sex"):
        bins = Bins.fit(BY_NAME[name], before[name])
        assert len(bins.values) == before[name].n_unique()
        ours = jensen_shannon(bins.counts(before[name]), bins.counts(now[name]))
        # Its logarithms are natural ones.
        assert found[name]["jensenshannon"] == pytest.approx(math.sqrt(ours * math.log(2)))


# -- classes ---------------------------------------------------------------------------

AREA, HOUR, CODES = BY_NAME["area"], BY_NAME["hour"], BY_NAME["mocodes"]


def test_unknown_and_other_have_classes_of_their_own() -> None:
    bins = Bins.fit(AREA, pl.Series([5] * 60 + [7] * 39 + [None]))
    assert bins.values == (5, 7)
    now = pl.Series([7, 7, 5, 99, None, None, None])
    assert bins.counts(now).tolist() == [1, 2, 1, 3]


def test_a_text_field_has_classes_too() -> None:
    sex = BY_NAME["vict_sex"]
    bins = Bins.fit(sex, pl.Series(["F", "M", "F", None]))
    assert bins.counts(pl.Series(["M", "X", None])).tolist() == [0, 1, 1, 1]


def test_a_field_that_was_never_known_can_still_appear() -> None:
    for field in (AREA, HOUR):
        bins = Bins.fit(field, pl.Series([None, None], dtype=pl.Int32))
        assert bins.size == 2
        assert bins.counts(pl.Series([None, 3, 4], dtype=pl.Int32)).tolist() == [2, 1]
        assert bins.counts(pl.Series([], dtype=pl.Int32)).tolist() == [0, 0]


def test_rare_values_are_one_class_and_there_is_a_bound_to_classes() -> None:
    many = pl.Series([value for value in range(40) for _ in range(40 - value)] * 10)
    bins = Bins.fit(AREA, many)
    assert bins.values == tuple(range(30))
    # Half a percent of the sample makes a class.
    rare = Bins.fit(AREA, pl.Series([1] * 986 + [2] * 5 + [3] * 4 + [None] * 5))
    assert rare.values == (1, 2)


def test_the_order_of_rows_changes_no_class() -> None:
    values = pl.Series("area", [9, 3, 7, 1] * 25)
    for seed in range(10):
        assert Bins.fit(AREA, values.shuffle(seed)).values == (1, 3, 7, 9)


def test_numbers_are_cut_at_the_reference_deciles_and_ties_make_fewer_classes() -> None:
    even = Bins.fit(HOUR, pl.Series(range(1000)))
    assert len(even.edges) == 9
    assert even.counts(pl.Series(range(1000))).tolist() == [100] * 10 + [0]
    tied = Bins.fit(HOUR, pl.Series([0] * 70 + list(range(1, 31))))
    assert tied.edges[0] == 0
    assert len(tied.edges) == len(set(tied.edges)) == 4
    assert tied.counts(pl.Series([0, 0, 1, 500, None])).tolist() == [2, 0, 1, 0, 1, 1]
    one = Bins.fit(HOUR, pl.Series([12] * 50))
    assert one.counts(pl.Series([12, 13, None])).tolist() == [1, 1, 1]


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.just(float("nan")), st.integers(-5, 5).map(float),
                       st.floats(-1e6, 1e6)), max_size=60),
    st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=60),
)  # fmt: skip
def test_nan_is_left_out_and_null_is_counted(
    now: list[float | None], before: list[float | None]
) -> None:
    bins = Bins.fit(HOUR, pl.Series(before, dtype=pl.Float64))
    series = pl.Series(now, dtype=pl.Float64)
    counts = bins.counts(series)
    assert counts.shape == (bins.size,)
    assert counts[-1] == series.null_count()
    assert counts.sum() == len(series) - series.is_nan().sum()
    assert len(known_numbers(series)) == counts[:-1].sum()


_lists = st.lists(st.lists(st.integers(1, 12), max_size=5), max_size=40)


@settings(deadline=None)
@given(_lists, _lists)
def test_each_incident_counts_once_however_many_codes_it_has(
    before: list[list[int]], now: list[list[int]]
) -> None:
    dtype = pl.List(pl.Int16)
    bins = Bins.fit(CODES, pl.Series("mocodes", before, dtype=dtype))
    counts = bins.counts(pl.Series("mocodes", now, dtype=dtype))
    assert counts.shape == (bins.size,)
    assert counts.sum() == pytest.approx(len(now))
    assert counts[-1] == sum(not codes for codes in now)
    expected = [sum(codes.count(value) / len(codes) for codes in now if codes)
                for value in bins.values]  # fmt: skip
    assert counts[: len(expected)].tolist() == pytest.approx(expected)


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(1, 40)), max_size=80),
       st.lists(st.one_of(st.none(), st.integers(1, 40)), max_size=80))  # fmt: skip
def test_every_incident_has_one_class(before: list[int | None], now: list[int | None]) -> None:
    bins = Bins.fit(AREA, pl.Series("area", before, dtype=pl.Int32))
    counts = bins.counts(pl.Series("area", now, dtype=pl.Int32))
    assert counts.sum() == len(now)
    assert counts[-1] == now.count(None)
    for value, count in zip(bins.values, counts, strict=False):
        assert count == now.count(value)


# -- correlations ----------------------------------------------------------------------


def test_correlations_are_spearmans_of_the_pairs_by_name(incidents: pl.DataFrame) -> None:
    fields = watched_frame(incidents)
    found, rows = correlations(fields)
    pairs = correlation_pairs()
    assert len(found) == len(rows) == len(pairs) == len(set(pairs)) == 15
    for place in (0, 7, 14):
        one, other = pairs[place].split(" ~ ")
        both = fields.select(pl.col(one, other).cast(pl.Float64)).drop_nulls().drop_nans()
        expected: Any = stats.spearmanr(both[one].to_numpy(), both[other].to_numpy())
        assert found[place] == pytest.approx(expected.statistic)
        assert rows[place] == both.height
    assert rows.min() < fields.height


def test_a_pair_that_says_nothing_is_nan_and_others_stay() -> None:
    frame = pl.DataFrame(
        {field.name: [1.0, 2.0, 3.0, 4.0] for field in WATCHED if field.kind == "numeric"}
    ).with_columns(lat=pl.lit(5.0), lon=pl.lit(None, pl.Float64), vict_age=-pl.col("hour"))
    found, rows = correlations(frame)
    values = dict(zip(correlation_pairs(), found, strict=True))
    assert math.isnan(values["hour ~ lat"])
    assert math.isnan(values["hour ~ lon"])
    assert values["hour ~ vict_age"] == pytest.approx(-1)
    assert values["hour ~ mo_count"] == pytest.approx(1)
    assert dict(zip(correlation_pairs(), rows, strict=True))["hour ~ lon"] == 0
