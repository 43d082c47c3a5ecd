import datetime as dt
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from crimeguard.records.database import Database
from crimeguard.records.ledger import Ledger
from crimeguard.records.prediction_log import PredictionLog
from crimeguard.serve.app import create_app
from crimeguard.serve.slot import Slot
from crimeguard.serve.verdicts import Verdicts
from crimeguard.settings import Settings
from tests.serve.fakes import Client, FakePredictor

AT = dt.datetime(2023, 3, 10, 12, tzinfo=dt.UTC)
SAID = {
    "score": 0.62, "status": "critical", "warning": 0.3, "critical": 0.5, "rows": 700, "labels": 90,
    "components": [{"name": "area", "score": 0.62}, {"name": "hour", "score": 0.1}],
    "performance": {
        "expected": 0.9, "estimated": {"value": 0.88, "low": 0.86, "high": 0.89},
        "promised": {"value": 0.87, "low": 0.84, "high": 0.9},
        "realised": {"value": 0.8, "low": 0.77, "high": 0.83},
    },
}  # fmt: skip
TOO_FEW = {"score": 0.0, "status": "too few", "warning": 0.3, "critical": 0.5, "rows": 7,
           "labels": 0, "components": [], "performance": None}  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    database = Database(f"sqlite:///{tmp_path / 'records.db'}")
    database.migrate()
    yield Ledger(database)
    database.close()


def shown(verdicts: Verdicts) -> str:
    registry = CollectorRegistry()
    registry.register(verdicts)
    return generate_latest(registry).decode()


def judged(ledger: Ledger, sha256: str) -> None:
    ledger.append("verdict", subject=sha256, who="t", why="w", evidence=SAID, at=AT)


def test_the_newest_verdict_on_what_is_served_is_shown(ledger: Ledger) -> None:
    predictor = FakePredictor()
    judged(ledger, predictor.bundle.sha256)
    verdicts = Verdicts(ledger, Slot(predictor))
    verdicts.look()
    text = shown(verdicts)
    assert 'crimeguard_drift_score{component="area"} 0.62' in text
    assert 'crimeguard_drift_score{component="hour"} 0.1' in text
    assert "crimeguard_drift_overall 0.62" in text
    assert 'crimeguard_drift_threshold{severity="warning"} 0.3' in text
    assert 'crimeguard_drift_threshold{severity="critical"} 0.5' in text
    assert 'crimeguard_accuracy{kind="realised"} 0.8' in text
    assert 'crimeguard_accuracy{kind="promised"} 0.87' in text
    assert 'crimeguard_accuracy_low{kind="realised"} 0.77' in text
    assert 'crimeguard_accuracy_high{kind="estimated"} 0.89' in text
    assert 'crimeguard_accuracy_low{kind="expected"}' not in text
    assert 'crimeguard_verdict_status{status="critical"} 1.0' in text
    assert 'crimeguard_verdict_status{status="too few"} 0.0' in text
    assert "crimeguard_verdict_rows 700.0" in text
    assert "crimeguard_verdict_labels 90.0" in text
    assert 'crimeguard_accuracy{kind="expected"} 0.9' in text
    assert "crimeguard_verdict_timestamp_seconds 1.6784496e+09" in text


def test_a_verdict_on_another_bundle_is_not(ledger: Ledger) -> None:
    judged(ledger, "f" * 64)
    slot = Slot(FakePredictor())
    verdicts = Verdicts(ledger, slot)
    verdicts.look()
    assert "crimeguard_drift_overall 0" not in shown(verdicts)
    judged(ledger, FakePredictor().bundle.sha256)
    verdicts.look()
    assert "crimeguard_drift_overall 0.62" in shown(verdicts)
    slot.swap(FakePredictor("2"))
    assert "crimeguard_drift_overall 0" not in shown(verdicts)


def test_an_empty_slot_and_a_broken_ledger_show_nothing_and_raise_nothing(
    ledger: Ledger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    verdicts = Verdicts(ledger, Slot())
    verdicts.look()
    assert "crimeguard_drift_overall 0" not in shown(verdicts)
    unmade = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    verdicts = Verdicts(Ledger(unmade), Slot(FakePredictor()))
    verdicts.look()
    unmade.close()
    assert "the newest verdict cannot be read" in caplog.text
    assert "crimeguard_drift_overall 0" not in shown(verdicts)


def test_a_verdict_on_too_few_incidents_is_shown_without_scores(ledger: Ledger) -> None:
    predictor = FakePredictor()
    ledger.append("verdict", subject=predictor.bundle.sha256, who="t", why="w", evidence=TOO_FEW)
    verdicts = Verdicts(ledger, Slot(predictor))
    verdicts.look()
    text = shown(verdicts)
    assert "crimeguard_drift_overall 0" not in text
    assert "crimeguard_accuracy{" not in text
    assert 'crimeguard_verdict_status{status="too few"} 1.0' in text
    assert "crimeguard_verdict_rows 7.0" in text


@pytest.mark.parametrize("seen", [True, False], ids=["seen before", "after a restart"])
def test_too_few_incidents_do_not_end_a_drift(ledger: Ledger, seen: bool) -> None:
    predictor = FakePredictor()
    verdicts = Verdicts(ledger, Slot(predictor))
    judged(ledger, predictor.bundle.sha256)
    if seen:
        verdicts.look()
    for _ in range(3):
        ledger.append(
            "verdict", subject=predictor.bundle.sha256, who="t", why="w", evidence=TOO_FEW
        )
    verdicts.look()
    text = shown(verdicts)
    assert "crimeguard_drift_overall 0.62" in text
    assert 'crimeguard_verdict_status{status="too few"} 1.0' in text
    assert "crimeguard_verdict_timestamp_seconds 1.6784496e+09" not in text


def test_a_line_without_figures_does_no_harm(ledger: Ledger) -> None:
    predictor = FakePredictor()
    ledger.append("verdict", subject=predictor.bundle.sha256, who="t", why="w", evidence={})
    verdicts = Verdicts(ledger, Slot(predictor))
    verdicts.look()
    assert "crimeguard_verdict_rows 0.0" in shown(verdicts)


def test_a_bundle_that_comes_late_has_its_verdict_soon(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crimeguard.serve.verdicts._SOON", 0.01)
    slot = Slot()
    judged(ledger, FakePredictor().bundle.sha256)
    verdicts = Verdicts(ledger, slot, every=3600)
    verdicts.start()
    slot.swap(FakePredictor())
    end = time.monotonic() + 10
    while "crimeguard_drift_overall 0.62" not in shown(verdicts):
        assert time.monotonic() < end
        time.sleep(0.01)
    verdicts.close()


def test_the_api_shows_them(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'records.db'}")
    database.migrate()
    predictor = FakePredictor()
    judged(Ledger(database), predictor.bundle.sha256)
    with PredictionLog(database) as log:
        api = create_app(Settings(), Slot(predictor), log=log)
        service = api.state.service
        service.verdicts.look()
        assert "crimeguard_drift_overall 0.62" in Client(api).get("/metrics").text
        service.start()
        service.close()
    database.close()
