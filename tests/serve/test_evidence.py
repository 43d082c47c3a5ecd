from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import insert

from crimeguard.records.database import Database
from crimeguard.records.moment import now
from crimeguard.records.tables import LABEL
from crimeguard.registry import experiments
from crimeguard.serve.evidence import Evidence
from tests.records.rows import write
from tests.records.test_trial import TRUTH, shadowed
from tests.registry.contests import started
from tests.serve.test_traffic import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.database.close()


def shown(evidence: Evidence) -> str:
    registry = CollectorRegistry()
    registry.register(evidence)
    return generate_latest(registry).decode()


def labelled(bench: Bench, number: int) -> None:
    """Let so many incidents be labelled of which only the challenger got any right."""
    experiment = bench.traffic.state.experiment
    assert experiment is not None
    old, new = experiment.contest.champion, experiment.contest.challenger
    rows = [
        row._replace(experiment=experiment.id, bundle=new if row.answered_id else old,
                     made_at=now() - 10 * 86_400_000_000)
        for _ in range(number) for row in shadowed(False, True)
    ]  # fmt: skip
    write(bench.database, rows)
    with bench.database.writing() as connection:
        connection.execute(insert(LABEL), [
            {"prediction_id": row.id, "category": TRUTH, "crm_cd": None, "source": "t",
             "labelled_at": now()} for row in rows[::2]
        ])  # fmt: skip


def test_without_an_experiment_only_its_absence_is_shown(bench: Bench) -> None:
    evidence = Evidence(bench.traffic, bench.database)
    evidence.look()
    text = shown(evidence)
    assert 'crimeguard_experiment_state{state="none"} 1.0' in text
    assert 'crimeguard_experiment_running{mode="shadow"} 0.0' in text
    assert 'crimeguard_experiment_failures_total{reason="refused"} 0.0' in text
    assert "crimeguard_experiment_share 0.0" in text
    assert "crimeguard_experiment_log_evidence{" not in text


def test_a_running_experiment_is_shown_with_its_evidence(bench: Bench) -> None:
    started(bench.ledger)
    bench.traffic.look()
    evidence = Evidence(bench.traffic, bench.database)
    labelled(bench, 4)
    evidence.look()
    text = shown(evidence)
    assert 'crimeguard_experiment_state{state="running"} 1.0' in text
    assert 'crimeguard_experiment_running{mode="shadow"} 1.0' in text
    assert 'crimeguard_experiment_predictions{variant="shadow"} 4.0' in text
    assert 'crimeguard_experiment_labelled{variant="champion"} 4.0' in text
    assert "crimeguard_experiment_missing_labels 96.0" in text
    assert 'crimeguard_experiment_log_evidence{direction="better"}' in text
    assert "crimeguard_experiment_log_evidence_threshold 3.68" in text
    assert bench.events() == ["started"]


def test_a_verdict_is_written_down_once(bench: Bench) -> None:
    started(bench.ledger, "shadow")
    bench.traffic.look()
    evidence = Evidence(bench.traffic, bench.database)
    labelled(bench, 30)
    for _ in range(3):
        evidence.look()
    assert bench.events() == ["started", "decided"]
    found = experiments.running(bench.ledger)
    assert found is not None
    assert found.decided is not None
    assert found.decided.evidence["verdict"] == "better"


def test_a_share_and_a_refusal_are_shown(bench: Bench) -> None:
    bench.bad = {"2"}
    started(bench.ledger, "split", 0.2)
    bench.traffic.look()
    text = shown(Evidence(bench.traffic, bench.database))
    assert "crimeguard_experiment_share 0.2" in text
    assert 'crimeguard_experiment_state{state="refused"} 1.0' in text
    assert 'crimeguard_experiment_failures_total{reason="refused"} 1.0' in text


def test_what_was_known_stays_while_the_log_is_away_and_goes_with_the_experiment(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    started(bench.ledger)
    bench.traffic.look()
    evidence = Evidence(bench.traffic, bench.database)
    evidence.look()
    unmade = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    evidence._database = unmade
    evidence.look()
    unmade.close()
    assert "the labels of the experiment cannot be read" in caplog.text
    assert "crimeguard_experiment_missing_labels 100.0" in shown(evidence)
    experiments.stop(bench.ledger, who="t", why="w")
    bench.traffic.look()
    assert "crimeguard_experiment_missing_labels 1" not in shown(evidence)


def test_the_thread_looks_by_itself(bench: Bench) -> None:
    started(bench.ledger)
    bench.traffic.look()
    evidence = Evidence(bench.traffic, bench.database, every=0.01)
    evidence.start()
    end = time.monotonic() + 30
    while "crimeguard_experiment_missing_labels 100.0" not in shown(evidence):
        assert time.monotonic() < end
        time.sleep(0.01)
    evidence.close()
