"""Two workers behind one port: one of them may die, and all of them end in order."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from crimeguard.serve.supervisor import environment
from crimeguard.settings import Settings
from tests.faults.served import INCIDENT, ROOT, Served, missing, served

CALLERS: Final = 6
_WORKER: Final = re.compile(r"worker (\d+) is process (\d+)")


@dataclass
class Callers:
    """Threads that ask until they are told to stop, whoever dies; what reached them is kept."""

    address: str
    acknowledged: set[str] = field(default_factory=set)
    statuses: set[int] = field(default_factory=set)
    broken: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Callers:
        self._threads = [threading.Thread(target=self._ask) for _ in range(CALLERS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def go_on(self, answers: int = 100) -> None:
        """Wait for so many more answers."""
        enough = len(self.acknowledged) + answers
        until(lambda: len(self.acknowledged) >= enough, "more answers")

    def _ask(self) -> None:
        with httpx.Client(base_url=self.address, timeout=60) as client:
            while not self._stop.is_set():
                try:
                    answer = client.post("/predict", json=INCIDENT)
                except httpx.TransportError:
                    self.broken += 1
                    time.sleep(0.01)
                    continue
                self.statuses.add(answer.status_code)
                if answer.is_success:
                    self.acknowledged.add(answer.json()["prediction_id"])


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def metrics(running: Served) -> dict[str, float]:
    """Return the sums of all series by name, as one of the workers tells them."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(httpx.get(f"{running.address}/metrics").text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def pids(running: Served) -> dict[int, int]:
    """Return which process has which place now."""
    return {int(place): int(pid) for place, pid in _WORKER.findall(running.errors)}


def all_up(running: Served) -> None:
    def up() -> bool:
        try:
            return metrics(running)["crimeguard_workers"] == 2
        except httpx.TransportError:
            return False  # it was with the one that has just died

    until(up, "two workers")


def two(home: Path, **options: float) -> Settings:
    return Settings(home=home, workers=2, **options)  # type: ignore[arg-type]


@pytest.mark.slow
def test_they_answer_as_one_and_either_may_die(tiny_bundle: Path, tmp_path: Path) -> None:
    with served(tiny_bundle, two(tmp_path)) as running:
        all_up(running)
        for place in (0, 1):
            # Whoever is left answers, so both do.
            with Callers(running.address) as callers:
                callers.go_on()
                before, victim = metrics(running), pids(running)[place]
                os.kill(victim, signal.SIGKILL)
                callers.go_on()
                until(lambda: pids(running)[place] != victim, "another")  # noqa: B023
                all_up(running)
                callers.go_on()
            assert callers.statuses == {200}
            assert missing(two(tmp_path), callers.acknowledged) == set()
            after = metrics(running)
            assert after["crimeguard_worker_restarts_total"] == place + 1
            assert after["crimeguard_predictions_total"] >= (
                before["crimeguard_predictions_total"] + 200
            )
            assert after["process_cpu_seconds_total"] >= before["process_cpu_seconds_total"]
        _require_sums(running)
    assert running.process.returncode == 0
    assert "Traceback" not in running.errors


def _require_sums(running: Served) -> None:
    """Ask many times on new connections: every worker tells the same, and all that was asked."""
    start = metrics(running)
    for _ in range(40):
        httpx.post(f"{running.address}/predict", json=INCIDENT)
    for _ in range(10):
        now = metrics(running)
        assert now["crimeguard_log_rows_total"] == start["crimeguard_log_rows_total"] + 40
        assert now["crimeguard_predictions_total"] == start["crimeguard_predictions_total"] + 40
        assert now["crimeguard_ready"] == 1
        assert now["crimeguard_bundle_info"] == 1
        assert now["crimeguard_http_requests_in_progress"] == 1  # the one that asks


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_under_load_they_lose_nothing(
    tiny_bundle: Path, tmp_path: Path, number: signal.Signals
) -> None:
    settings = two(tmp_path, drain_seconds=1.0)
    with served(tiny_bundle, settings) as running:
        all_up(running)
        with Callers(running.address) as callers:
            callers.go_on()
            running.process.send_signal(number)
            running.process.wait(timeout=60)
        everyone = pids(running)
    assert running.process.returncode == 0
    assert "Traceback" not in running.errors
    assert callers.statuses == {200}
    assert missing(settings, callers.acknowledged) == set()
    for pid in everyone.values():
        assert not Path(f"/proc/{pid}").exists()


@pytest.mark.slow
def test_ten_deaths_are_got_over(tiny_bundle: Path, tmp_path: Path) -> None:
    with served(tiny_bundle, two(tmp_path)) as running, Callers(running.address) as callers:
        for number in range(10):
            all_up(running)
            callers.go_on(20)
            victim = pids(running)[number % 2]
            os.kill(victim, signal.SIGKILL)
            until(lambda: victim not in pids(running).values(), "another")  # noqa: B023
        all_up(running)
        callers.go_on()
        assert metrics(running)["crimeguard_worker_restarts_total"] == 10
    assert callers.statuses == {200}
    assert missing(two(tmp_path), callers.acknowledged) == set()


def test_without_their_supervisor_they_end(tiny_bundle: Path, tmp_path: Path) -> None:
    running = Served(tiny_bundle, two(tmp_path))
    all_up(running)
    everyone = pids(running)
    running.process.kill()
    for pid in everyone.values():
        until(lambda: not Path(f"/proc/{pid}/exe").exists(), "an end")  # noqa: B023
    running.end()


def test_if_none_comes_up_the_reason_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    outcome = subprocess.run(
        [sys.executable, "-m", "crimeguard", "serve", "--bundle", str(tmp_path / "empty"),
         "--port", "0"],
        cwd=ROOT, env=environment(two(tmp_path)), capture_output=True, text=True, timeout=90,
        check=False,
    )  # fmt: skip
    assert outcome.returncode == 1
    assert "No worker of the API comes up." in outcome.stderr
    assert "manifest" in outcome.stderr
    assert "Traceback" not in outcome.stderr
