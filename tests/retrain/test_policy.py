from __future__ import annotations

import copy
import datetime as dt
import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crimeguard.domain.errors import UsageError
from crimeguard.retrain.policy import REASONS, Decision, decide, evidence, facts
from crimeguard.retrain.signals import Forced, Mark, Signals, VerdictLine
from crimeguard.train.params import RetrainParams

ROOT = Path(__file__).parents[2]
NOW = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
PARAMS = RetrainParams(persistence=2, windows=3, cool_down_days=1.0, min_new_rows=1000, budget=8)
ASKED = Forced("ada", "the coding has changed")


def verdicts(*statuses: str) -> tuple[VerdictLine, ...]:
    return tuple(VerdictLine(seq, status) for seq, status in enumerate(statuses, 1))


# Everything says train; each test takes one thing away.
READY = Signals(
    champion="c" * 64,
    reference=True,
    verdicts=verdicts("ok", "critical", "critical"),
    now=NOW,
    last_training=Mark(7, NOW - DAY),
    trainings=7,
    new_labelled=1000,
    data="new",
    refused_data="old",
)


def words(decision: Decision) -> list[str]:
    return [reason.partition(":")[0] for reason in decision.reasons]


def outcome(**changes: Any) -> tuple[str, list[str]]:
    decision = decide(replace(READY, **changes), PARAMS)
    return decision.action, words(decision)


def test_drift_that_lasts_with_new_labels_is_a_reason_to_train() -> None:
    decision = decide(READY, PARAMS)
    assert decision.action == "train"
    assert decision.reasons == (
        "drift: 2 of the last 3 verdicts are critical, and 1,000 labelled incidents are new.",
    )


BLOCKING: list[tuple[str, dict[str, Any]]] = [
    ("locked", {"locked": True}),
    ("champion", {"champion": None}),
    ("reference", {"reference": False}),
    ("budget", {"trainings": 8}),
    ("budget", {"trainings": 9}),
    ("unchanged", {"refused_data": "new"}),
]
SKIPPED: list[tuple[str, dict[str, Any]]] = [
    ("persistence", {"verdicts": verdicts("critical", "ok", "critical", "ok")}),
    ("persistence", {"verdicts": verdicts("warning", "warning", "critical")}),
    ("persistence", {"verdicts": verdicts("critical", "too few", "too few")}),
    ("persistence", {"verdicts": ()}),
    ("cool-down", {"last_training": Mark(7, NOW - DAY + dt.timedelta(microseconds=1))}),
    ("cool-down", {"last_training": Mark(7, NOW + DAY)}),
    ("rows", {"new_labelled": 999}),
    ("rows", {"new_labelled": 0}),
]
TRAINED: list[dict[str, Any]] = [
    {"trainings": 7},
    {"trainings": 0},
    {"refused_data": None},
    {"refused_data": "other"},
    {"verdicts": verdicts("critical", "critical")},
    {"verdicts": verdicts("critical", "ok", "critical")},
    {"verdicts": verdicts("critical", "too few", "ok", "too few", "critical")},
    {"last_training": None},
    {"last_training": Mark(7, NOW - DAY)},
    {"new_labelled": 1000},
]


@pytest.mark.parametrize(("word", "change"), BLOCKING, ids=str)
def test_each_block_by_itself_holds_it_back_also_when_forced(
    word: str, change: dict[str, Any]
) -> None:
    assert outcome(**change) == ("block", [word])
    assert outcome(**change, forced=ASKED) == ("block", [word])


@pytest.mark.parametrize(("word", "change"), SKIPPED, ids=str)
def test_each_missing_condition_by_itself_skips_unless_forced(
    word: str, change: dict[str, Any]
) -> None:
    assert outcome(**change) == ("skip", [word])
    assert outcome(**change, forced=ASKED) == ("train", ["forced"])


@pytest.mark.parametrize("change", TRAINED, ids=str)
def test_the_other_side_of_each_threshold_trains(change: dict[str, Any]) -> None:
    assert outcome(**change) == ("train", ["drift"])


def test_what_blocks_is_said_before_what_skips() -> None:
    assert outcome(locked=True, trainings=99, verdicts=(), new_labelled=0) == (
        "block",
        ["locked", "budget"],
    )
    nothing = outcome(verdicts=(), new_labelled=0, last_training=Mark(7, NOW))
    assert nothing == ("skip", ["persistence", "cool-down", "rows"])


def test_without_a_champion_its_reference_is_not_missed() -> None:
    assert outcome(champion=None, reference=False) == ("block", ["champion"])


def test_a_forced_training_says_who_asked_and_why() -> None:
    forced = decide(replace(READY, forced=ASKED), PARAMS)
    assert forced.reasons == ("forced: ada asks for it: the coding has changed",)


def test_persistence_that_can_never_be_reached_is_refused() -> None:
    with pytest.raises(UsageError, match="persistence is 4, of 3 windows"):
        decide(READY, replace(PARAMS, persistence=4))
    assert decide(READY, replace(PARAMS, persistence=3)).action == "skip"


def test_a_request_without_a_name_or_a_reason_is_refused() -> None:
    for who, why in (("", "drift"), ("ada", " ")):
        with pytest.raises(UsageError, match="a name and a reason"):
            Forced(who, why)


# Values on both sides of every threshold, and on it.
STATUSES = st.sampled_from(["ok", "warning", "critical", "too few"])
VERDICTS = st.lists(STATUSES, max_size=8).map(lambda said: verdicts(*said))
AGES = st.none() | st.floats(-2, 40) | st.sampled_from([0.0, 1.0, 2.0])
SIGNALS = st.builds(
    Signals,
    champion=st.sampled_from([None, "c" * 64]),
    reference=st.booleans(),
    verdicts=VERDICTS,
    now=st.just(NOW),
    last_training=AGES.map(lambda days: None if days is None else Mark(7, NOW - days * DAY)),
    trainings=st.integers(0, 12),
    new_labelled=st.integers(0, 2000) | st.sampled_from([999, 1000, 1001]),
    data=st.sampled_from(["a", "b"]),
    refused_data=st.sampled_from([None, "a", "b"]),
    locked=st.booleans(),
    forced=st.none() | st.just(ASKED),
)
PARAMETERS = st.integers(1, 5).flatmap(
    lambda windows: st.builds(
        RetrainParams,
        persistence=st.integers(1, windows),
        windows=st.just(windows),
        cool_down_days=st.sampled_from([0.0, 0.5, 1.0, 30.0]),
        min_new_rows=st.sampled_from([1, 1000, 1500]),
        budget=st.integers(1, 10),
    )
)
# How far an action is from training.
RANK = {"block": 0, "skip": 1, "train": 2}


@given(SIGNALS, PARAMETERS)
def test_the_same_facts_lead_to_the_same_decision_and_stay_as_they_are(
    signals: Signals, params: RetrainParams
) -> None:
    before = copy.deepcopy(signals)
    first = decide(signals, params)
    assert decide(copy.deepcopy(signals), replace(params)) == first
    assert signals == before


@given(SIGNALS, PARAMETERS)
def test_every_decision_has_reasons_of_its_own_action(
    signals: Signals, params: RetrainParams
) -> None:
    decision = decide(signals, params)
    assert decision.reasons
    assert {REASONS[word] for word in words(decision)} == {decision.action}
    assert len(set(words(decision))) == len(decision.reasons)


@given(SIGNALS, PARAMETERS, st.integers(0, 7))
def test_a_verdict_that_turns_critical_never_speaks_against_training(
    signals: Signals, params: RetrainParams, place: int
) -> None:
    assume(place < len(signals.verdicts))
    worse = list(signals.verdicts)
    worse[place] = replace(worse[place], status="critical")
    after = decide(replace(signals, verdicts=tuple(worse)), params)
    assert RANK[after.action] >= RANK[decide(signals, params).action]


@given(SIGNALS, PARAMETERS)
def test_one_more_critical_verdict_never_speaks_against_training(
    signals: Signals, params: RetrainParams
) -> None:
    more = (*signals.verdicts, VerdictLine(99, "critical"))
    after = decide(replace(signals, verdicts=more), params)
    assert RANK[after.action] >= RANK[decide(signals, params).action]


@given(SIGNALS, PARAMETERS, st.integers(0, 8))
def test_a_verdict_on_too_few_rows_changes_nothing(
    signals: Signals, params: RetrainParams, place: int
) -> None:
    said = signals.verdicts
    more = (*said[:place], VerdictLine(99, "too few"), *said[place:])
    assert decide(replace(signals, verdicts=more), params) == decide(signals, params)


@given(SIGNALS, PARAMETERS, st.integers(0, 2000), st.floats(0, 50), st.integers(0, 12))
def test_more_rows_more_time_and_fewer_trainings_never_speak_against_it(
    signals: Signals, params: RetrainParams, rows: int, days: float, fewer: int
) -> None:
    better = replace(
        signals,
        new_labelled=signals.new_labelled + rows,
        now=signals.now + days * DAY,
        trainings=max(0, signals.trainings - fewer),
    )
    assert RANK[decide(better, params).action] >= RANK[decide(signals, params).action]


@given(SIGNALS, PARAMETERS)
def test_a_forced_request_turns_a_skip_into_training_and_a_block_into_nothing(
    signals: Signals, params: RetrainParams
) -> None:
    plain = decide(replace(signals, forced=None), params)
    forced = decide(replace(signals, forced=ASKED), params)
    assert forced.action == ("block" if plain.action == "block" else "train")
    if plain.action == "block":
        assert forced.reasons == plain.reasons


@given(SIGNALS, PARAMETERS, st.floats(0, 3))
def test_the_id_knows_the_time_only_by_what_it_decides(
    signals: Signals, params: RetrainParams, days: float
) -> None:
    later = replace(signals, now=signals.now + days * DAY)
    same = facts(later, params) == facts(signals, params)
    assert (decide(later, params).id == decide(signals, params).id) == same
    cooled = (facts(later, params)["cooled_down"], facts(signals, params)["cooled_down"])
    assert same == (cooled[0] == cooled[1])


@given(SIGNALS, SIGNALS, PARAMETERS)
def test_one_id_stands_for_one_decision(
    signals: Signals, other: Signals, params: RetrainParams
) -> None:
    one, two = decide(signals, params), decide(other, params)
    if one.id == two.id:
        assert (one.action, words(one)) == (two.action, words(two))
    assert re.fullmatch("[0-9a-f]{16}", one.id)


@pytest.mark.parametrize(
    "change",
    [
        {"champion": "d" * 64},
        {"champion": None},
        {"reference": False},
        {"verdicts": verdicts("critical", "critical", "critical")},
        {"verdicts": tuple(VerdictLine(v.seq + 1, v.status) for v in READY.verdicts)},
        {"last_training": Mark(8, NOW - DAY)},
        {"last_training": None},
        {"last_training": Mark(7, NOW)},
        {"trainings": 8},
        {"new_labelled": 999},
        {"data": "newer"},
        {"refused_data": None},
        {"locked": True},
        {"forced": ASKED},
        {"forced": Forced("ada", "again")},
    ],
    ids=str,
)
def test_another_fact_has_another_id(change: dict[str, Any]) -> None:
    assert decide(replace(READY, **change), PARAMS).id != decide(READY, PARAMS).id


@pytest.mark.parametrize(
    "change",
    [
        {"now": NOW + dt.timedelta(hours=7)},
        {"last_training": Mark(7, NOW - 3 * DAY)},
        {"trainings": 3},
        {"new_labelled": 5000},
        {"verdicts": (VerdictLine(0, "critical"), *READY.verdicts)},
    ],
    ids=str,
)
def test_what_decides_nothing_else_keeps_the_id(change: dict[str, Any]) -> None:
    assert decide(replace(READY, **change), PARAMS).id == decide(READY, PARAMS).id


def test_the_parameters_are_part_of_the_id() -> None:
    changes: list[dict[str, Any]] = [
        {"persistence": 1}, {"windows": 4}, {"cool_down_days": 0.5}, {"min_new_rows": 10},
        {"budget": 9},
    ]  # fmt: skip
    ids = {decide(READY, replace(PARAMS, **change)).id for change in changes}
    assert len(ids | {decide(READY, PARAMS).id}) == 6


def test_the_id_is_the_same_on_every_machine() -> None:
    # A file may say 1 where the default is 1.0.
    assert decide(READY, replace(PARAMS, cool_down_days=1)).id == "c4d2dc9fa38ca890"
    assert decide(READY, PARAMS).id == "c4d2dc9fa38ca890"


def test_the_id_is_the_same_in_another_process() -> None:
    code = (
        "from tests.retrain.test_policy import PARAMS, READY\n"
        "from crimeguard.retrain.policy import decide\n"
        "print(decide(READY, PARAMS).id)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
        env={"PYTHONHASHSEED": "7", "TZ": "America/Los_Angeles"},
    )  # fmt: skip
    assert said.stdout.strip() == decide(READY, PARAMS).id


def test_the_evidence_is_json_and_holds_what_the_id_is_made_of() -> None:
    decision = decide(READY, PARAMS)
    kept = json.loads(json.dumps(evidence(decision, READY, PARAMS), allow_nan=False))
    assert kept["action"] == "train"
    assert kept["facts"] == facts(READY, PARAMS)
    assert kept["facts"]["verdicts"] == [[1, "ok"], [2, "critical"], [3, "critical"]]
    assert (kept["trainings"], kept["new_labelled"]) == (7, 1000)
    assert tuple(kept["reasons"]) == decision.reasons
    assert math.isclose(kept["facts"]["params"]["min_new_rows"], 1000)


def test_every_reason_is_reachable() -> None:
    reached = {word for word, _ in (*BLOCKING, *SKIPPED)} | {"drift", "forced"}
    assert reached == set(REASONS)


def test_the_documentation_tells_of_every_reason() -> None:
    text = (ROOT / "docs" / "retraining.md").read_text()
    told = re.findall(r"^\| (block|skip|train) \| `([a-z-]+)` \|", text, re.MULTILINE)
    assert {word: action for action, word in told} == REASONS
    assert len(told) == len(REASONS)
