from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.evaluate.distance import correlation_pairs
from crimeguard.evaluate.reference import Reference
from crimeguard.evaluate.watched import WATCHED
from crimeguard.ingest.drift import CATALOGUE
from crimeguard.ingest.frame import canonical
from crimeguard.monitor.drift import (
    FLOOR,
    LEAST_NEW,
    LEAST_ROWS,
    drift_components,
    target_component,
)
from crimeguard.monitor.observed import UNKNOWN, Observed
from crimeguard.monitor.sources import observe_frame
from crimeguard.monitor.verdict import Verdict, judge_window
from crimeguard.registry.bundle import Bundle
from crimeguard.train.fit import targets
from crimeguard.train.params import Params
from tests.monitor.windows import (
    PARAMS,
    certain,
    make_champion,
    named,
    observe,
    window,
)

FRAUD = CATEGORIES.index("fraud_identity_theft")
FIELDS = {field.name for field in WATCHED}


def judge(champion: Bundle, observed: Observed) -> Verdict:
    return judge_window(champion.reference, observed, PARAMS)


def altered(observed: Observed, **fields: pl.Expr) -> Observed:
    return replace(observed, fields=observed.fields.with_columns(**fields))


def every(number: int, rows: int) -> pl.Series:
    return pl.Series(np.arange(rows) % number == 0)


def drifted(champion: Bundle, observed: Observed) -> set[str]:
    return {item.name for item in judge(champion, observed).drifted}


# -- nothing changed -------------------------------------------------------------------


def test_everything_is_compared(champion: Bundle, quiet: Observed) -> None:
    found = named(drift_components(champion.reference, quiet))
    assert set(found) == FIELDS | set(correlation_pairs()) | {"prediction", "label", "volume"}
    kinds = {item.kind for item in found.values()}
    assert kinds == {"field", "correlation", "prediction", "target", "volume"}
    for item in found.values():
        assert item.critical_distance >= FLOOR
        assert item.words


@pytest.mark.parametrize("seed", range(11, 17))
def test_nothing_is_no_drift(champion: Bundle, seed: int) -> None:
    found = judge(champion, observe(champion, window(seed)))
    assert found.status != "critical"
    assert found.score < 0.4


def test_chance_scores_nothing(champion: Bundle) -> None:
    """Samples of the reference itself: what differs between them is chance, so nothing is it."""
    reference = champion.reference
    sample = reference.sample
    for seed in range(8):
        rows = np.random.default_rng(seed).permutation(sample.height)[:800]
        now = sample[rows]
        label = now["label"].replace_strict(
            {name: place for place, name in enumerate(CATEGORIES)}, return_dtype=pl.Int64
        )
        part = Observed(now.drop("label"), np.full(800, 2), certain(label.to_numpy(), np.ones(800)),
                        label.to_numpy())  # fmt: skip
        found = drift_components(reference, part, volume=False)
        assert [item.name for item in found if item.significant and item.kind == "field"] == []
        assert max(item.score for item in found if item.kind != "prediction") == 0


# -- every kind of component -----------------------------------------------------------


def test_a_field_that_moves_is_named_and_no_other(champion: Bundle, quiet: Observed) -> None:
    moved = altered(quiet, area=pl.when(every(3, len(quiet))).then(21).otherwise("area"))
    found = judge(champion, moved)
    assert {item.name for item in found.drifted} == {"area"}
    item = named(found)["area"]
    assert item.words.startswith("21: ")
    assert item.measures["chi_square_p"] < 1e-6
    assert 0.3 < item.measures["jensen_shannon"] < 1


def test_numbers_that_move_are_measured_in_every_way(champion: Bundle, quiet: Observed) -> None:
    found = named(judge(champion, altered(quiet, vict_age=pl.col("vict_age") * 2)))["vict_age"]
    assert found.score > 0.5
    assert found.words.startswith("above ")
    assert found.measures["kolmogorov_smirnov"] > 0.3
    assert found.measures["kolmogorov_smirnov_p"] < 1e-6
    assert found.measures["wasserstein"] > 0.5
    assert found.measures["unknown_now"] == pytest.approx(
        found.measures["unknown_before"], abs=0.05
    )


def test_a_field_that_is_not_filled_any_more_is_a_drift(champion: Bundle, quiet: Observed) -> None:
    blank = pl.when(every(2, len(quiet))).then(pl.lit(None)).otherwise("premis_cd")
    found = named(judge(champion, altered(quiet, premis_cd=blank)))["premis_cd"]
    assert found.score > 0.5
    assert found.words.startswith("unknown: ")
    assert found.measures["unknown_before"] < 0.01
    assert found.measures["unknown_now"] == pytest.approx(0.5, abs=0.01)


def test_fields_that_come_to_hang_together_are_a_drift_though_none_moves(
    champion: Bundle, quiet: Observed
) -> None:
    fields = quiet.fields
    hours = np.sort(fields["hour"].to_numpy())
    north = fields["lat"].fill_null(34.0).to_numpy().argsort().argsort()
    tied = replace(quiet, fields=fields.with_columns(hour=pl.Series(hours[north])))
    found = judge(champion, tied)
    assert "hour ~ lat" in {item.name for item in found.drifted}
    assert {item.kind for item in found.drifted} == {"correlation"}
    assert named(found)["hour ~ lat"].words.endswith("-> +1.00")
    assert named(found)["hour"].distance == named(judge(champion, quiet))["hour"].distance


def test_a_pair_that_is_hardly_ever_known_is_not_compared(
    champion: Bundle, quiet: Observed
) -> None:
    few = np.arange(len(quiet)) < LEAST_ROWS - 1
    sparse = altered(quiet, lon=pl.when(pl.Series(few)).then("lon"))
    assert "lat ~ lon" not in named(judge(champion, sparse))
    assert "hour ~ lat" in named(judge(champion, sparse))
    enough = altered(quiet, lon=pl.when(pl.Series(np.arange(len(quiet)) < 600)).then("lon"))
    assert "lat ~ lon" in named(judge(champion, enough))


def test_predictions_that_move_are_a_drift(champion: Bundle, quiet: Observed) -> None:
    best = quiet.probabilities.argmax(axis=1)
    best[::3] = CATEGORIES.index("robbery")
    sure = quiet.probabilities.max(axis=1)
    found = judge(champion, replace(quiet, probabilities=certain(best, sure), label=quiet.label))
    item = named(found)["prediction"]
    assert item.score > 0.5
    assert item.words.startswith("robbery: ")
    assert named(judge(champion, quiet))["prediction"].score < 0.25


@pytest.mark.parametrize("mix", ["call", "victim", "even", "mostly report"])
def test_another_mix_of_levels_is_no_drift(
    champion: Bundle, quiet_frame: pl.DataFrame, mix: str
) -> None:
    rng = np.random.default_rng(4)
    shares: dict[str, list[float]] = {"call": [1, 0, 0], "victim": [0, 1, 0], "even": [1 / 3] * 3,
              "mostly report": [0.01, 0.01, 0.98]}  # fmt: skip
    level = rng.choice(3, quiet_frame.height, p=shares[mix])
    found = judge(champion, observe(champion, quiet_frame, level))
    assert found.status == "ok"
    assert named(found)["prediction"].score < 0.25


def test_without_levels_apart_their_mix_would_be_one(champion: Bundle, quiet: Observed) -> None:
    """The test above can fail: at the level of reports the answers to calls are a drift."""
    calls = champion.reference.levels["call"]
    reports = champion.reference.levels["report"]
    levels = {**champion.reference.levels, "report": replace(reports, predicted=calls.predicted)}
    wrong = replace(champion.reference, levels=levels)
    assert named(drift_components(wrong, quiet))["prediction"].score > 0.3


def test_words_on_predictions_are_of_the_level_that_moved(
    champion: Bundle, quiet_frame: pl.DataFrame
) -> None:
    level = np.where(np.arange(quiet_frame.height) % 5 == 0, 0, 2)
    part = observe(champion, quiet_frame, level)
    best = part.probabilities.argmax(axis=1)
    best[(level == 2) & (np.arange(len(best)) % 2 == 0)] = CATEGORIES.index("robbery")
    moved = replace(part, probabilities=certain(best, part.probabilities.max(axis=1)))
    assert named(judge(champion, moved))["prediction"].words.startswith("robbery: ")


def test_what_lies_above_an_incidents_level_is_not_missing(
    champion: Bundle, quiet_frame: pl.DataFrame
) -> None:
    bare = quiet_frame.drop("mocodes", "weapon_used_cd", "vict_age", "vict_sex", "vict_descent",
                            "date_rptd")  # fmt: skip
    found = judge(champion, observe_frame(bare, champion))
    assert found.status == "ok"
    fields = {item.name for item in found.components if item.kind == "field"}
    assert fields == {field.name for field in WATCHED if field.level == 0}
    assert not any(item.kind == "correlation" for item in found.components)
    # As reports, with nothing filled in, they would be a drift.
    empty = observe(champion, bare.with_columns(mocodes=pl.lit(None, pl.List(pl.Int16))))
    assert {"mocodes", "vict_sex", "weapon_used_cd"} <= drifted(champion, empty)


def test_a_field_is_compared_where_enough_incidents_have_its_level(
    champion: Bundle, quiet_frame: pl.DataFrame
) -> None:
    for reports in (LEAST_ROWS - 1, LEAST_ROWS):
        level = np.where(np.arange(quiet_frame.height) < reports, 2, 1)
        found = named(judge(champion, observe(champion, quiet_frame, level)))
        assert ("mocodes" in found) == (reports == LEAST_ROWS)
        assert "vict_sex" in found


def test_labels_that_move_are_a_drift(champion: Bundle, quiet: Observed) -> None:
    label = quiet.label.copy()
    label[::3] = CATEGORIES.index("robbery")
    moved = named(judge(champion, replace(quiet, label=label)))["label"]
    assert moved.score > 0.5
    assert moved.words.startswith("robbery: ")
    assert named(judge(champion, quiet))["label"].score == 0


def test_labels_from_before_the_window_are_compared_too(champion: Bundle, quiet: Observed) -> None:
    none = replace(quiet, label=np.full(len(quiet), UNKNOWN))
    older = replace(quiet, label=np.full(len(quiet), CATEGORIES.index("robbery")))
    assert "label" not in named(judge(champion, none))
    assert named(judge(champion, replace(none, older=older)))["label"].score > 0.5


def test_few_labels_say_nothing(champion: Bundle, quiet: Observed) -> None:
    for known in (LEAST_ROWS - 1, LEAST_ROWS):
        label = np.where(np.arange(len(quiet)) < known, FRAUD, UNKNOWN)
        found = named(judge(champion, replace(quiet, label=label)))
        assert ("label" in found) == (known == LEAST_ROWS)


def test_a_category_that_was_never_seen_is_a_drift_once_it_is_more_than_a_slip(
    champion: Bundle, quiet: Observed
) -> None:
    counts = list(champion.reference.labels)
    counts[FRAUD] = 0
    blind = replace(champion.reference, labels=tuple(counts))
    others = quiet.label[quiet.label != FRAUD]
    few, enough = (np.append(others, np.full(n, FRAUD)) for n in (LEAST_NEW - 1, LEAST_NEW))
    assert target_component(blind, few).score == 0
    found = target_component(blind, enough)
    assert found.score == pytest.approx(1 / 1.1)
    assert found.words == (
        f"never seen in training: fraud_identity_theft (5 of {len(enough)} labels)"
    )


def test_fewer_and_more_incidents_a_day_are_a_drift(champion: Bundle, quiet: Observed) -> None:
    third = quiet.take(np.arange(len(quiet)) % 3 == 0)
    found = judge(champion, third)
    assert [item.name for item in found.drifted] == ["volume"]
    assert found.status == "critical"
    assert found.model_status == "ok"
    volume = named(found)["volume"]
    assert volume.measures["ratio"] == pytest.approx(1 / 3, abs=0.05)
    doubled = Observed(pl.concat([quiet.fields] * 2), np.tile(quiet.level, 2),
                       np.tile(quiet.probabilities, (2, 1)), np.tile(quiet.label, 2))  # fmt: skip
    assert "volume" in drifted(champion, doubled)


def test_a_service_that_sees_only_some_incidents_is_not_asked_for_their_number(
    champion: Bundle, quiet: Observed
) -> None:
    third = quiet.take(np.arange(len(quiet)) % 3 == 0)
    found = judge_window(champion.reference, third, replace(PARAMS, volume=False))
    assert found.status == "ok"
    assert "volume" not in named(found)


# -- what cannot be compared -----------------------------------------------------------


def test_a_field_of_which_nothing_can_be_compared_is_left_out(
    champion: Bundle, quiet: Observed
) -> None:
    """Late reports only: every delay is left out, and nothing is left to divide by."""
    late = altered(quiet, days_until_reported=pl.lit(float("nan")))
    found = named(judge(champion, late))
    assert "days_until_reported" not in found
    assert not any("days_until_reported" in name for name in found)
    sample = champion.reference.sample.with_columns(days_until_reported=pl.lit(float("nan")))
    blind = replace(champion.reference, sample=sample)
    assert "days_until_reported" not in named(drift_components(blind, quiet))


def test_what_has_too_few_incidents_is_left_out(champion: Bundle, quiet: Observed) -> None:
    assert drift_components(champion.reference, quiet.take(np.arange(2000) < LEAST_ROWS - 1)) == []
    assert drift_components(champion.reference, quiet.take(np.arange(2000) < LEAST_ROWS))
    assert drift_components(champion.reference, quiet.take(np.zeros(2000, bool))) == []


def test_a_field_that_was_never_known_is_a_drift_when_it_comes(
    champion: Bundle, quiet: Observed
) -> None:
    sample = champion.reference.sample.with_columns(
        lat=pl.lit(None, pl.Float64), area=pl.lit(None, pl.Int32)
    )
    blind: Reference = replace(champion.reference, sample=sample)
    found = named(drift_components(blind, quiet))
    assert found["lat"].words == "known: 0.0% -> 100.0%"
    assert found["lat"].score > 0.9
    assert found["area"].words == "other: 0.0% -> 100.0%"
    assert "hour ~ lat" not in found


# -- the simulator's drifts ------------------------------------------------------------

# What each has to be named by; others may be named as well.
TRUTH = {
    "covariate_shift": {"area", "premis_cd"},
    "class_mix_shift": {"mocodes"},
    "new_category": {"label"},
    "missing_field": {"mocodes", "mo_count"},
    "relabelled_codes": {"realised accuracy"},
    "volume_change": {"volume"},
    "nibrs_2024": {"mocodes", "vict_age", "vict_sex", "vict_descent"},
}


@pytest.fixture(scope="module")
def blind(
    history: pl.DataFrame, tiny_params: Params, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    """A champion that has never seen fraud."""
    without = history.filter(pl.Series(targets(history) != FRAUD))
    return make_champion(without, tiny_params, tmp_path_factory.mktemp("blind"))


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_named_drift_is_found_at_its_stated_strength(
    champion: Bundle, request: pytest.FixtureRequest, name: str
) -> None:
    bundle = request.getfixturevalue("blind") if name == "new_category" else champion
    found = judge(bundle, observe(bundle, window(12, name)))
    assert found.status == "critical"
    assert {item.name for item in found.drifted} >= TRUTH[name]
    # Whatever else it is, a smaller number of incidents is no reason to train again.
    assert found.model_status == ("ok" if name == "volume_change" else "critical")


# -- real rows -------------------------------------------------------------------------


@pytest.mark.realdata
def test_west_la_of_other_years_is_a_drift_and_march_is_none(
    realdata: Path, tiny_params: Params, tmp_path: Path
) -> None:
    def some(name: str, rows: int) -> pl.DataFrame:
        raw = pl.read_parquet(realdata / f"{name}.parquet")
        return canonical(raw.sample(rows, seed=1)).require_clean(name)

    frame = some("la_2023q1", 12_000)
    later = pl.col("date_occ") >= dt.date(2023, 3, 15)
    ends = dt.date(2023, 2, 28), dt.date(2023, 3, 14)
    bundle = make_champion(frame, tiny_params, tmp_path, *ends, fitted_on=5_000)
    found = judge(bundle, observe(bundle, some("la_westla_2020_2021", 2_000)))
    assert found.status == found.model_status == "critical"
    assert {"area", "lat", "lon"} <= {item.name for item in found.drifted[:4]}
    assert named(found)["area"].words.startswith("8: ")
    assert named(found)["area"].words.endswith("-> 100.0%")
    # A part of March is missing from the file on purpose, so its volume says nothing.
    quiet = judge_window(
        bundle.reference, observe(bundle, frame.filter(later)), replace(PARAMS, volume=False)
    )
    assert quiet.rows > 1_000
    assert quiet.status != "critical"
