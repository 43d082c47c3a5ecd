from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from crimeguard.monitor.verdict import Status, judge_window
from crimeguard.records.database import open_database
from crimeguard.records.ledger import Ledger
from crimeguard.retrain.policy import decide, evidence
from crimeguard.retrain.signals import (
    SPOKEN,
    Forced,
    Mark,
    Signals,
    Unsettled,
    VerdictLine,
    collect,
    unsettled,
)
from crimeguard.settings import Settings
from crimeguard.train.params import RetrainParams

NOW = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
PARAMS = RetrainParams()
OLD, NEW = "a" * 64, "b" * 64


class Book:
    """The real ledger, with the lines that a retraining writes."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.at = NOW - 20 * DAY

    def add(self, kind: str, subject: str = OLD, decision: str | None = None, **known: Any) -> int:
        self.at += dt.timedelta(minutes=1)
        entry = self.ledger.append(
            kind, subject=subject, who="tests", why="to see", evidence=known,
            decision_id=decision, at=self.at,
        )  # fmt: skip
        return entry.seq

    def verdicts(self, *statuses: str, champion: str = OLD) -> list[int]:
        return [self.add("verdict", champion, model_status=status) for status in statuses]

    def training(self, *steps: tuple[str, dict[str, Any]], decision: str = "d1") -> int:
        self.add("decision", OLD, decision, action="train")
        seq = self.add("training", NEW, decision, data="rows", champion=OLD)
        for kind, known in steps:
            self.add(kind, NEW, decision, **known)
        return seq

    def collect(self, **changes: Any) -> Signals:
        given: dict[str, Any] = {
            "champion": OLD, "reference": True, "data": "rows", "new_labelled": 0, "now": NOW,
        }  # fmt: skip
        return collect(self.ledger, PARAMS, **(given | changes))


GATES: tuple[str, dict[str, Any]] = ("gates", {"passed": True})
REFUSED: tuple[str, dict[str, Any]] = ("gates", {"passed": False})
PROMOTION: tuple[str, dict[str, Any]] = ("promotion", {"replaced": OLD})
PROBE: tuple[str, dict[str, Any]] = ("probe", {"passed": True})
FAILED: tuple[str, dict[str, Any]] = ("probe", {"passed": False})
ROLLBACK: tuple[str, dict[str, Any]] = ("rollback", {"replaced": NEW})


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    database = open_database(Settings(home=tmp_path))
    yield Book(Ledger(database))
    database.close()


def test_an_empty_ledger_knows_nothing(book: Book) -> None:
    forced = Forced("ada", "to try")
    assert book.collect(forced=forced, locked=True, new_labelled=7) == Signals(
        champion=OLD, reference=True, verdicts=(), now=NOW, last_training=None, trainings=0,
        new_labelled=7, data="rows", refused_data=None, locked=True, forced=forced,
    )  # fmt: skip
    assert book.collect(champion=None).verdicts == ()


def test_the_time_is_that_of_the_clock_unless_it_is_given(book: Book) -> None:
    before = dt.datetime.now(dt.UTC)
    assert before <= book.collect(now=None).now <= dt.datetime.now(dt.UTC)


def test_only_verdicts_on_this_champion_count_the_last_n_oldest_first(book: Book) -> None:
    seqs = book.verdicts("critical", "ok", "warning", "critical")
    book.verdicts("critical", "critical", champion=NEW)
    assert book.collect().verdicts == (
        VerdictLine(seqs[1], "ok"),
        VerdictLine(seqs[2], "warning"),
        VerdictLine(seqs[3], "critical"),
    )
    assert len(book.collect(champion=NEW).verdicts) == 2


def test_verdicts_that_say_nothing_are_passed_over_however_many(book: Book) -> None:
    seqs = book.verdicts("ok", "critical", "critical")
    book.verdicts(*["too few"] * 60)
    assert [verdict.seq for verdict in book.collect().verdicts] == seqs


def test_a_change_in_the_number_of_incidents_alone_is_not_counted(book: Book) -> None:
    book.add("verdict", OLD, status="critical", model_status="ok")
    assert [verdict.status for verdict in book.collect().verdicts] == ["ok"]


def test_the_words_are_those_of_the_monitor() -> None:
    assert {*SPOKEN, "too few"} == set(get_args(Status))
    assert judge_window.__annotations__["return"] == "Verdict"


def test_what_was_begun_in_the_last_thirty_days_counts_finished_or_not(book: Book) -> None:
    for days in (31, 30, 29.9, 2):
        book.at = NOW - days * DAY
        book.add("decision", OLD, f"d{days}", action="train")
        book.add("decision", OLD, f"s{days}", action="skip")
    # The first is a minute younger than it says.
    assert book.collect(now=NOW + dt.timedelta(minutes=1)).trainings == 2


@pytest.mark.parametrize(
    ("steps", "refused"),
    [
        ([REFUSED], True),
        ([("gates", {})], True),
        ([GATES, PROMOTION], False),
        ([GATES, PROMOTION, PROBE], False),
        ([GATES, PROMOTION, FAILED], False),
        ([GATES, PROMOTION, FAILED, ROLLBACK], True),
    ],
    ids=str,
)
def test_a_training_that_came_to_an_end_is_the_last_one(
    book: Book, steps: list[tuple[str, dict[str, Any]]], refused: bool
) -> None:
    seq = book.training(*steps)
    signals = book.collect()
    assert signals.last_training is not None
    assert signals.last_training.seq == seq
    assert NOW - 20 * DAY < signals.last_training.at < NOW - 19 * DAY
    assert signals.refused_data == ("rows" if refused else None)
    assert signals.trainings == 1


@pytest.mark.parametrize("steps", [[], [GATES]], ids=str)
def test_a_training_that_was_killed_counts_for_the_budget_only(
    book: Book, steps: list[tuple[str, dict[str, Any]]]
) -> None:
    first = book.training(REFUSED, decision="d0")
    book.training(*steps)
    signals = book.collect()
    assert (signals.last_training or Mark(0, NOW)).seq == first
    assert signals.trainings == 2


def test_what_was_killed_can_be_decided_on_again_and_has_the_same_id(book: Book) -> None:
    book.verdicts("critical", "critical", "critical")
    first = decide(book.collect(new_labelled=1000), PARAMS)
    book.training(decision=first.id)
    again = decide(book.collect(new_labelled=1200), PARAMS)
    assert (again.action, again.id) == ("train", first.id)
    book.training(REFUSED, decision=again.id)
    third = decide(book.collect(new_labelled=1200), PARAMS)
    assert (third.action, [text[:9] for text in third.reasons]) == ("block", ["unchanged"])
    assert third.id != first.id


def test_other_data_than_those_of_the_refused_challenger_may_be_tried(book: Book) -> None:
    book.verdicts("critical", "critical", "critical")
    book.training(REFUSED)
    assert decide(book.collect(new_labelled=1000), PARAMS).action == "block"
    assert decide(book.collect(new_labelled=1000, data="more rows"), PARAMS).action == "train"


def test_a_challenger_that_a_person_took_back_counts_as_refused(book: Book) -> None:
    book.training(GATES, PROMOTION, PROBE)
    book.add("rollback", OLD, None, replaced=NEW)
    assert book.collect().refused_data == "rows"


def test_an_earlier_refusal_is_over_once_another_came_through(book: Book) -> None:
    book.training(REFUSED)
    book.training(GATES, PROMOTION, PROBE, decision="d2")
    assert book.collect().refused_data is None


def test_what_was_trained_by_hand_is_no_retraining(book: Book) -> None:
    book.add("training", NEW, None, data="rows")
    book.add("promotion", NEW, None, replaced=OLD)
    signals = book.collect()
    assert (signals.last_training, signals.trainings) == (None, 0)
    assert unsettled(book.ledger, NEW) is None


def test_the_evidence_of_a_decision_is_counted_by_the_next(book: Book) -> None:
    signals = book.collect(forced=Forced("ada", "to try"))
    decision = decide(signals, PARAMS)
    book.at = NOW - DAY
    book.add("decision", OLD, decision.id, **evidence(decision, signals, PARAMS))
    assert book.collect().trainings == 1


@pytest.mark.parametrize(
    ("steps", "in_production", "step"),
    [
        ([], OLD, None),
        ([], NEW, None),
        ([GATES], OLD, None),
        ([GATES], NEW, "promotion"),
        ([REFUSED], OLD, None),
        ([GATES, PROMOTION], NEW, "probe"),
        ([GATES, PROMOTION], "c" * 64, None),
        ([GATES, PROMOTION, PROBE], NEW, None),
        ([GATES, PROMOTION, FAILED], NEW, "rollback"),
        ([GATES, PROMOTION, FAILED], OLD, "rollback"),
        ([GATES, PROMOTION, FAILED, ROLLBACK], OLD, None),
    ],
    ids=str,
)
def test_what_a_killed_retraining_left_undone_is_found(
    book: Book, steps: list[tuple[str, dict[str, Any]]], in_production: str, step: str | None
) -> None:
    assert unsettled(book.ledger, in_production) is None
    book.training(GATES, PROMOTION, PROBE, decision="d0")
    book.training(*steps)
    found = unsettled(book.ledger, in_production)
    assert (found and found.step) == step
    if found is not None:
        assert found == Unsettled(found.step, NEW, OLD, "d1")


def test_what_a_person_has_settled_since_is_left_alone(book: Book) -> None:
    book.training(GATES, PROMOTION, FAILED)
    book.add("promotion", "c" * 64, None, replaced=NEW)
    assert unsettled(book.ledger, "c" * 64) is None
