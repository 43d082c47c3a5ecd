from __future__ import annotations

import signal
from pathlib import Path

import httpx
import pytest

from crimeguard.serve.openapi import NAMES_EXAMPLE
from tests.serve.test_server import Running, _until


def started(home: Path, seconds: str) -> Running:
    (home / "alias.txt").write_text("1")
    running = Running(home, {"CRIMEGUARD_DRAIN_SECONDS": seconds})
    running.wait_for("1")
    return running


def test_told_to_end_it_sends_callers_away_and_still_answers(tmp_path: Path) -> None:
    running = started(tmp_path, "4")
    with httpx.Client(base_url=running.address) as client:
        assert "connection" not in client.post("/predict", json=NAMES_EXAMPLE).headers
        running.process.send_signal(signal.SIGTERM)
        _until(lambda: httpx.get(f"{running.address}/readyz").status_code == 503, "still ready")
        refusal = client.get("/readyz")
        assert refusal.json()["type"] == "/docs#problem-leaving"
        # On the connection that was kept, and on new ones.
        for answer in (
            client.post("/predict", json=NAMES_EXAMPLE),
            httpx.post(f"{running.address}/predict", json=NAMES_EXAMPLE),
        ):
            assert answer.status_code == 200
            assert answer.headers["connection"] == "close"
        assert httpx.get(f"{running.address}/livez").status_code == 200
    running.process.communicate(timeout=20)
    assert running.process.returncode == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_does_not_wait(tmp_path: Path, second: signal.Signals) -> None:
    running = started(tmp_path, "60")
    running.process.send_signal(signal.SIGTERM)
    _until(lambda: httpx.get(f"{running.address}/readyz").status_code == 503, "still ready")
    running.process.send_signal(second)
    running.process.communicate(timeout=20)
    assert running.process.returncode == 0
