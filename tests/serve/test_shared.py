from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import values
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from crimeguard.serve.metrics import Metrics
from crimeguard.serve.shared import Note, Shared, came_up, forget, merged
from crimeguard.serve.slot import Slot
from tests.serve.fakes import FakePredictor

ROOT = Path(__file__).parents[2]
# A worker of its own that counts, tells how it is, and is killed.
WORKER = """
import os, sys
from pathlib import Path
from crimeguard.serve.metrics import Metrics
from crimeguard.serve.shared import Shared
from crimeguard.serve.slot import Slot
from tests.serve.fakes import FakePredictor
shared = Shared(Path(sys.argv[1]), int(sys.argv[2]))
metrics = Metrics(Slot(FakePredictor(sys.argv[3])), shared=shared)
metrics.count_predictions("theft", "call", 5)
metrics.count_request("/predict", "POST", 200, 0.004)
metrics.in_progress.inc(3)
metrics.publish()
os.kill(os.getpid(), 9)
"""


@pytest.fixture(autouse=True)
def _own_values(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the other tests of this process count in memory again."""
    monkeypatch.setattr(values, "ValueClass", values.MutexValue)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    yield
    while values._multi_process_cleanups:
        values._multi_process_cleanups.pop()()


def lived(folder: Path, place: int, version: str = "1") -> None:
    """Let a worker live and die."""
    process = subprocess.run(
        [sys.executable, "-c", WORKER, str(folder), str(place), version], cwd=ROOT, check=False
    )
    assert process.returncode == -9


def told(metrics: Metrics) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(text for _, text in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
    }


def one(folder: Path, place: int = 1) -> Metrics:
    return Metrics(Slot(FakePredictor("1")), shared=Shared(folder, place))


def test_whoever_is_asked_tells_what_all_have_counted(tmp_path: Path) -> None:
    lived(tmp_path, 0)
    metrics = one(tmp_path)
    metrics.count_predictions("theft", "call", 2)
    metrics.count_request("/predict", "POST", 200, 0.2)
    found = told(metrics)
    assert found["crimeguard_predictions_total", "theft", "call", "champion"] == 7
    assert found["crimeguard_http_requests_total", "POST", "/predict", "200"] == 2
    assert found["crimeguard_http_request_seconds_count", "/predict"] == 2
    assert found["crimeguard_http_request_seconds_bucket", "0.005", "/predict"] == 1
    assert found["crimeguard_http_request_seconds_bucket", "+Inf", "/predict"] == 2
    assert found["crimeguard_http_requests_total", "POST", "/predict", "503"] == 0
    assert found["crimeguard_workers",] == 2
    assert found["process_resident_memory_bytes",] > 2e6


def test_who_takes_the_place_of_a_dead_one_counts_on(tmp_path: Path) -> None:
    lived(tmp_path, 1)
    forget(tmp_path, 1)
    metrics = one(tmp_path)
    metrics.restarted()
    metrics.count_predictions("theft", "call", 1)
    found = told(metrics)
    assert found["crimeguard_predictions_total", "theft", "call", "champion"] == 6
    assert found["crimeguard_worker_restarts_total",] == 1


def test_what_is_over_with_a_process_is_forgotten_with_it(tmp_path: Path) -> None:
    lived(tmp_path, 0, version="2")
    metrics = one(tmp_path)
    assert came_up(tmp_path, 0)
    assert told(metrics)["crimeguard_http_requests_in_progress",] == 3
    assert len([key for key in told(metrics) if key[0] == "crimeguard_bundle_info"]) == 2
    forget(tmp_path, 0)
    found = told(metrics)
    assert not came_up(tmp_path, 0)
    assert found["crimeguard_http_requests_in_progress",] == 0
    assert found["crimeguard_workers",] == 1
    assert len([key for key in found if key[0] == "crimeguard_bundle_info"]) == 1
    assert found["crimeguard_predictions_total", "theft", "call", "champion"] == 5


def test_who_has_told_nothing_for_long_is_left_out(tmp_path: Path) -> None:
    lived(tmp_path, 0)
    long_ago = time.time() - 60
    os.utime(tmp_path / "told-0.json", (long_ago, long_ago))
    assert told(one(tmp_path))["crimeguard_workers",] == 1


class Counting(Collector):
    """Tells a count that begins at 0 with every process."""

    def __init__(self) -> None:
        self.count = 0.0

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily("x_failures", "Failures.", labels=("why",))
        family.add_metric(["chance"], self.count)
        yield family


def test_what_a_collector_counts_is_kept_as_well(tmp_path: Path) -> None:
    for expected in (4, 8):
        metrics, counting = one(tmp_path), Counting()
        metrics.registry.register(counting)
        counting.count = 3
        metrics.publish()
        counting.count = 4
        assert told(metrics)["x_failures_total", "chance"] == expected
        assert told(metrics)["x_failures_total", "chance"] == expected


def note(**told: float) -> Note:
    families = []
    for name, value in told.items():
        family = GaugeMetricFamily(name, "Help.")
        family.add_metric([], value)
        families.append(family)
    return Note.parse(Note(families).dump())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("crimeguard_ready", 1), ("crimeguard_log_waiting_rows", 4),
        ("crimeguard_log_lag_seconds", 3), ("process_resident_memory_bytes", 4),
        ("crimeguard_registry_state", 3),
        ("crimeguard_registry_last_success_timestamp_seconds", 1), ("anything_else", 3),
    ],
)  # fmt: skip
def test_gauges_of_several_are_one(name: str, expected: float) -> None:
    (family,) = merged([note(**{name: 3}), note(**{name: 1})])
    assert [sample.value for sample in family.samples] == [expected]


def test_a_verdict_is_told_as_a_whole(tmp_path: Path) -> None:
    old = note(crimeguard_verdict_timestamp_seconds=10, crimeguard_accuracy=0.9,
               crimeguard_drift_overall=0.7)  # fmt: skip
    new = note(crimeguard_verdict_timestamp_seconds=20, crimeguard_accuracy=0.8)
    none = note(crimeguard_ready=0)
    for notes in ([old, new, none], [none, new, old]):
        found = {family.name: family.samples[0].value for family in merged(notes)}
        assert found["crimeguard_accuracy"] == 0.8
        assert "crimeguard_drift_overall" not in found
        assert found["crimeguard_ready"] == 0


def test_without_room_it_says_so_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        Shared(tmp_path, 0)
