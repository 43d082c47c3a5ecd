from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from crimeguard.evaluate.experiment import Arm, Finding
from crimeguard.records.database import Database
from crimeguard.records.ledger import Ledger
from crimeguard.registry.experiments import (
    ExperimentError,
    decide,
    experiments,
    look,
    refuse,
    running,
    start,
    stop,
)
from tests.records.rows import write
from tests.records.test_trial import NOW, label, shadowed
from tests.registry.contests import PLAN, contest, started

NOTHING = Arm(0, None, None)
FOUND = Finding(verdict="better", labelled=50, missing=50, champion=NOTHING, challenger=NOTHING,
                decided_at=40)  # fmt: skip


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)


def test_the_ledger_is_the_state(ledger: Ledger, open_records: Callable[[], Database]) -> None:
    assert running(ledger) is None
    begun = started(ledger, "split", 0.2)
    assert running(Ledger(open_records())) == begun
    assert begun.contest == contest("split", 0.2)
    assert begun.plan == PLAN
    (line,) = ledger.entries("experiment")
    assert (line.decision_id, line.subject) == (begun.id, begun.contest.challenger)
    assert (line.who, line.why, line.evidence["event"]) == ("ada", "to see", "started")
    ended = stop(ledger, who="bob", why="enough", request_id="r1")
    assert running(ledger) is None
    assert experiments(ledger) == [ended]
    assert ended.stopped is not None
    assert (ended.stopped.who, ended.stopped.why) == ("bob", "enough")
    assert ended.stopped.evidence["request_id"] == "r1"
    assert {line.decision_id for line in ledger.entries("experiment")} == {begun.id}


def test_one_runs_at_a_time(ledger: Ledger) -> None:
    first = started(ledger)
    with pytest.raises(ExperimentError, match="One runs already"):
        started(ledger)
    stop(ledger, who="t", why="w")
    second = started(ledger)
    assert second.id != first.id
    assert [item.id for item in experiments(ledger)] == [first.id, second.id]


def test_of_several_who_start_one_does(open_records: Callable[[], Database]) -> None:
    ledgers = [Ledger(open_records()) for _ in range(4)]

    def begins(ledger: Ledger) -> bool:
        try:
            started(ledger)
        except ExperimentError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(begins, ledgers)) == 1


def test_what_was_stopped_does_not_begin_again_by_configuration(ledger: Ledger) -> None:
    def configured(champion: str = "1") -> None:
        start(ledger, contest(champion=champion), PLAN, who="api", why="configured", once=True)

    configured()
    stop(ledger, who="t", why="w")
    with pytest.raises(ExperimentError, match="was stopped"):
        configured()
    configured("3")  # of another champion it is another experiment
    stop(ledger, who="t", why="w")
    started(ledger)  # and by hand it may be made again


def test_there_must_be_one_to_stop_and_the_right_one(ledger: Ledger) -> None:
    with pytest.raises(ExperimentError, match="no experiment to stop"):
        stop(ledger, who="t", why="w")
    begun = started(ledger)
    with pytest.raises(ExperimentError, match="no experiment to stop"):
        stop(ledger, who="t", why="w", only="f" * 32)
    stop(ledger, who="t", why="w", only=begun.id)


def test_a_refusal_and_a_verdict_are_written_once(ledger: Ledger) -> None:
    begun = started(ledger)
    for _ in range(3):
        refuse(ledger, begun, who="api", why="It is damaged.")
        decide(ledger, begun, FOUND, who="api")
        decide(ledger, begun, replace(FOUND, verdict="worse"), who="api")
    events = [line.evidence["event"] for line in ledger.entries("experiment")]
    assert events == ["started", "refused", "decided"]
    known = running(ledger)
    assert known is not None
    assert known.refused is not None
    assert known.refused.why == "It is damaged."
    assert known.decided is not None
    assert known.decided.why == "the challenger is better after 40 labels"
    assert known.decided.evidence["verdict"] == "better"
    stop(ledger, who="t", why="w", finding=FOUND)
    refuse(ledger, begun, who="api", why="late")
    assert len(ledger.entries("experiment")) == 4


def test_nothing_found_is_not_written(ledger: Ledger) -> None:
    begun = started(ledger)
    decide(ledger, begun, replace(FOUND, verdict="undecided", decided_at=None), who="t")
    assert len(ledger.entries("experiment")) == 1


def test_a_look_counts_and_tests(ledger: Ledger, database: Database) -> None:
    begun = started(ledger)
    old, new = begun.contest.champion, begun.contest.challenger
    pairs = [shadowed(False, True) for _ in range(40)] + [shadowed(True, True) for _ in range(20)]
    pairs += [shadowed(True, True, days=1)]
    rows = [row._replace(experiment=begun.id, bundle=new if row.answered_id else old)
            for pair in pairs for row in pair]  # fmt: skip
    write(database, rows)
    label(database, *rows[::2], days=0.5)
    found = look(database, begun, NOW)
    assert found.finding.verdict == "better"
    assert found.finding.estimate == pytest.approx(40 / 60)
    assert (found.finding.labelled, found.finding.missing) == (60, 40)
    told = found.to_dict()
    assert told["counts"]["shadow"] == {"predictions": 61, "labelled": 61}
    assert told["share"] is None
    later = look(database, begun, NOW + dt.timedelta(days=7))
    assert later.finding.labelled == 61
