from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy import stats

from crimeguard.domain.level import InformationLevel
from crimeguard.evaluate.reference import LevelReference, Reference
from crimeguard.features.columns import Floats, Ints
from crimeguard.monitor.component import Component
from crimeguard.monitor.observed import UNKNOWN, Observed
from crimeguard.monitor.performance import (
    DECLINE,
    LEAST_LABELS,
    SHORTFALL,
    Estimate,
    Performance,
    estimate_accuracy,
    measure_performance,
    performance_components,
)
from crimeguard.monitor.verdict import judge_window
from crimeguard.registry.bundle import Bundle
from tests.monitor.windows import PARAMS, certain, named, observe, window

FLAT = LevelReference(
    rows=1000, accuracy=0.8, confidence=0.8, gap=0.0, gap_error=0.0, gap_spread=0.0,
    predicted=(1.0,) * 15,
)  # fmt: skip


def reference_of(**levels: LevelReference) -> Reference:
    whole = {"call": FLAT, "victim": FLAT, "report": FLAT, **levels}
    return Reference(
        sample=pl.DataFrame(), rows=0, first="", last="", natural={}, labels=(1,) * 15, daily=0.0,
        volume_natural=0.0, levels=whole,
    )  # fmt: skip


def observed_of(sure: Floats, *, level: Ints | int = 2, label: Ints | None = None) -> Observed:
    """Return incidents whose answers are category 0 with the certainty given."""
    rows = len(sure)
    level = np.broadcast_to(np.asarray(level, np.int64), rows)
    label = np.full(rows, UNKNOWN) if label is None else label
    answers = certain(np.zeros(rows, np.int64), sure)
    return Observed(pl.DataFrame({"row": np.arange(rows)}), level, answers, label)


# -- the estimate ----------------------------------------------------------------------


def test_the_estimate_is_what_the_answers_promise() -> None:
    sure = np.linspace(0.3, 0.9, 500)
    found = estimate_accuracy(reference_of(), observed_of(sure))
    assert found.value == pytest.approx(sure.mean())
    assert found.error == pytest.approx(math.sqrt((sure * (1 - sure)).sum()) / 500)
    assert found.rows == 500
    assert found.low == pytest.approx(found.value - 1.96 * found.error)
    assert found.high == pytest.approx(found.value + 1.96 * found.error)


def test_each_level_is_moved_by_what_it_was_off_on_the_hold_out() -> None:
    call = replace(FLAT, gap=-0.1, gap_error=0.01, gap_spread=0.02)
    report = replace(FLAT, gap=0.05, gap_error=0.005, gap_spread=0.0)
    sure = np.full(1000, 0.6)
    level = np.where(np.arange(1000) < 250, 0, 2)
    found = estimate_accuracy(
        reference_of(call=call, report=report), observed_of(sure, level=level)
    )
    assert found.value == pytest.approx(0.6 + 0.25 * -0.1 + 0.75 * 0.05)
    chance = 0.6 * 0.4 / 1000
    off = 0.25**2 * (0.01**2 + 0.02**2) + 0.75**2 * 0.005**2
    assert found.error == pytest.approx(math.sqrt(chance + off))


def test_the_interval_widens_as_incidents_become_fewer() -> None:
    widths = []
    for rows in (100, 400, 1600, 6400):
        found = estimate_accuracy(reference_of(), observed_of(np.full(rows, 0.7)))
        widths.append(found.high - found.low)
    np.testing.assert_allclose(np.array(widths[:-1]) / widths[1:], 2)
    # What days vary by does not go away with more incidents.
    daily = reference_of(report=replace(FLAT, gap_spread=0.02))
    wide = estimate_accuracy(daily, observed_of(np.full(1_000_000, 0.7)))
    assert wide.high - wide.low == pytest.approx(2 * 1.96 * 0.02, rel=0.01)


@pytest.mark.parametrize("gap", [-0.3, 0.3])
def test_no_estimate_leaves_0_to_1(gap: float) -> None:
    sure = np.full(200, 0.9 if gap > 0 else 0.1)
    found = estimate_accuracy(reference_of(report=replace(FLAT, gap=gap)), observed_of(sure))
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_calibrated_answers_are_right_as_often_as_the_interval_says() -> None:
    rng = np.random.default_rng(8)
    inside = []
    for _ in range(400):
        sure = rng.beta(4, 2, 300)
        label = np.where(rng.random(300) < sure, 0, 1)
        found = measure_performance(reference_of(), observed_of(sure, label=label))
        assert found.realised is not None
        inside.append(found.estimated.low <= found.realised.value <= found.estimated.high)
    assert 0.92 <= np.mean(inside) <= 0.98


# -- what the labels say ---------------------------------------------------------------


def test_what_is_realised_has_wilsons_interval() -> None:
    label = np.where(np.arange(500) < 430, 0, 3)
    found = measure_performance(reference_of(), observed_of(np.full(500, 0.8), label=label))
    assert found.realised is not None
    assert found.realised.value == pytest.approx(0.86)
    expected = stats.binomtest(430, 500).proportion_ci(method="wilson")
    assert found.realised.low == pytest.approx(expected.low, abs=1e-5)
    assert found.realised.high == pytest.approx(expected.high, abs=1e-5)


@pytest.mark.parametrize("right", [0, 500])
def test_all_right_and_all_wrong_have_an_interval(right: int) -> None:
    label = np.where(np.arange(500) < right, 0, 3)
    found = measure_performance(reference_of(), observed_of(np.full(500, 0.8), label=label))
    assert found.realised is not None
    assert found.realised.low - 1e-9 <= found.realised.value <= found.realised.high + 1e-9
    assert -1e-9 < found.realised.low < found.realised.high < 1 + 1e-9
    assert found.realised.high - found.realised.low > 0.005


@pytest.mark.parametrize("known", [LEAST_LABELS - 1, LEAST_LABELS])
def test_few_labels_say_nothing(known: int) -> None:
    label = np.where(np.arange(500) < known, 0, UNKNOWN)
    found = measure_performance(reference_of(), observed_of(np.full(500, 0.8), label=label))
    assert (found.realised is not None) == (found.promised is not None) == (known == LEAST_LABELS)
    names = {item.name for item in performance_components(found)}
    assert ("realised accuracy" in names) == (known == LEAST_LABELS)


def test_promised_is_the_estimate_of_just_the_incidents_with_labels() -> None:
    sure = np.where(np.arange(600) < 200, 0.9, 0.5)
    label = np.where(np.arange(600) < 200, 0, UNKNOWN)
    found = measure_performance(reference_of(), observed_of(sure, label=label))
    assert found.promised is not None
    assert found.promised.value == pytest.approx(0.9)
    assert found.promised.rows == 200
    assert found.estimated.value == pytest.approx((200 * 0.9 + 400 * 0.5) / 600)


def test_labels_from_before_the_window_count_for_what_is_realised_only() -> None:
    now = observed_of(np.full(300, 0.5))
    older = observed_of(np.full(150, 0.9), label=np.zeros(150, np.int64))
    found = measure_performance(reference_of(), replace(now, older=older))
    assert found.estimated.value == pytest.approx(0.5)
    assert found.estimated.rows == 300
    assert found.promised is not None
    assert found.realised is not None
    assert found.promised.value == pytest.approx(0.9)
    assert found.realised.value == 1
    assert found.realised.rows == 150


def test_expected_is_the_hold_outs_accuracy_at_the_windows_mix_of_levels() -> None:
    reference = reference_of(call=replace(FLAT, accuracy=0.4), report=replace(FLAT, accuracy=0.9))
    level = np.where(np.arange(400) < 100, 0, 2)
    found = measure_performance(reference, observed_of(np.full(400, 0.7), level=level))
    assert found.expected == pytest.approx(0.25 * 0.4 + 0.75 * 0.9)


# -- components ------------------------------------------------------------------------


def components(
    estimated: float, error: float = 0.005, *, realised: float | None = None
) -> dict[str, Component]:
    found = Performance(
        expected=0.8,
        estimated=Estimate.around(estimated, error, 1000),
        realised=None if realised is None else Estimate.around(realised, error, 1000),
        promised=None if realised is None else Estimate.around(0.8, error, 1000),
    )
    return named(performance_components(found))


def test_a_decline_that_is_foreseen_is_half_a_score_at_its_bound() -> None:
    assert components(0.8 - DECLINE)["estimated accuracy"].score == pytest.approx(0.5)
    assert components(0.8)["estimated accuracy"].score == 0
    assert components(0.9)["estimated accuracy"].score == 0
    # Beyond the bound, but within what chance explains.
    assert components(0.74, 0.03)["estimated accuracy"].score == 0


def test_a_shortfall_that_is_seen_is_half_a_score_at_its_bound() -> None:
    found = components(0.8, realised=0.8 - SHORTFALL)["realised accuracy"]
    assert found.score == pytest.approx(0.5)
    assert found.words == "80.0% promised, 77.0% realised on 1,000 labels"
    assert components(0.8, realised=0.85)["realised accuracy"].score == 0
    assert components(0.8, 0.03, realised=0.76)["realised accuracy"].score == 0


# -- a real champion -------------------------------------------------------------------


def test_where_nothing_changes_accuracy_is_where_the_estimate_is(champion: Bundle) -> None:
    inside = []
    for seed in range(11, 17):
        found = measure_performance(champion.reference, observe(champion, window(seed)))
        assert found.realised is not None
        inside.append(found.estimated.low <= found.realised.value <= found.estimated.high)
        assert abs(found.estimated.value - found.expected) < 0.02
    assert sum(inside) >= 5


@pytest.mark.parametrize("level", [0, 1, 2])
def test_every_level_has_an_estimate_of_its_own(
    champion: Bundle, quiet_frame: pl.DataFrame, level: int
) -> None:
    found = measure_performance(champion.reference, observe(champion, quiet_frame, level))
    label = InformationLevel(level).label
    assert found.expected == champion.reference.levels[label].accuracy
    assert found.realised is not None
    assert found.estimated.value == pytest.approx(found.realised.value, abs=0.05)


def test_a_lost_field_is_foreseen_without_labels(champion: Bundle) -> None:
    lost = observe(champion, window(12, "missing_field"))
    blind = replace(lost, label=np.full(len(lost), UNKNOWN))
    found = judge_window(champion.reference, blind, PARAMS)
    assert "estimated accuracy" in {item.name for item in found.drifted}
    assert "realised accuracy" not in named(found)


def test_the_estimate_is_blind_to_other_codes_and_labels_are_not(champion: Bundle) -> None:
    """Relabelled codes: the incidents are the same, so their answers promise the same."""
    before = observe(champion, window(14))
    after = observe(champion, window(14, "relabelled_codes"))
    assert after.fields.equals(before.fields)
    first, second = (measure_performance(champion.reference, part) for part in (before, after))
    assert second.estimated == first.estimated
    assert first.realised is not None
    assert second.realised is not None
    assert second.realised.value < second.estimated.low
    assert second.realised.value < first.realised.value - 0.03
    found = judge_window(champion.reference, after, PARAMS)
    assert named(found)["estimated accuracy"].score == 0
    assert named(found)["realised accuracy"].score > 0.5
    unlabelled = replace(after, label=np.full(len(after), UNKNOWN))
    assert judge_window(champion.reference, unlabelled, PARAMS).status == "ok"


def test_everything_is_json(champion: Bundle, quiet: Observed) -> None:
    found = measure_performance(champion.reference, quiet).to_dict()
    plain = json.loads(json.dumps(found, allow_nan=False))
    assert plain == found
    assert plain["realised"]["rows"] == 2000
