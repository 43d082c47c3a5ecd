from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

import crimeguard
from crimeguard.domain.errors import BundleError, RegistryError
from crimeguard.records.prediction_log import Backlog, PredictionLog
from crimeguard.serve.follower import Follower
from crimeguard.serve.gauges import Gauges
from crimeguard.serve.slot import Predicts, Slot
from tests.serve.fakes import FakePredictor, FakeRegistry


def shown(gauges: Gauges) -> dict[tuple[str, ...], float]:
    registry = CollectorRegistry()
    registry.register(gauges)
    families: Iterable[Metric] = registry.collect()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_version_is_told(tmp_path: Path) -> None:
    assert shown(Gauges(Slot()))["crimeguard_build_info", crimeguard.__version__] == 1


def test_since_when_a_bundle_is_served_is_told() -> None:
    slot = Slot()
    assert ("crimeguard_bundle_loaded_timestamp_seconds",) not in shown(Gauges(slot))
    before = time.time()
    slot.swap(FakePredictor())
    loaded = shown(Gauges(slot))["crimeguard_bundle_loaded_timestamp_seconds",]
    assert before <= loaded <= time.time()


def test_a_bundle_that_is_served_for_good_has_no_registry() -> None:
    assert not [key for key in shown(Gauges(Slot(FakePredictor()))) if "registry" in key[0]]


class Bench:
    def __init__(self, cache: Path) -> None:
        self.registry = FakeRegistry()
        self.follower = Follower(
            Slot(), connect=lambda: self.registry, load=self.load, cache=cache, every=0.01
        )

    def load(self, path: Path) -> Predicts:
        if path.name == "v2":
            raise BundleError("It is damaged.")
        return FakePredictor(path.name.removeprefix("v"))

    def shown(self) -> dict[tuple[str, ...], float]:
        return shown(Gauges(Slot(), self.follower))

    def state(self) -> list[str]:
        return [key[1] for key, n in self.shown().items() if key[0].endswith("_state") and n]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_how_the_registry_is_followed_is_told(bench: Bench) -> None:
    assert bench.state() == ["starting"]
    assert ("crimeguard_registry_last_success_timestamp_seconds",) not in bench.shown()
    bench.registry.version = "1"
    before = time.time()
    bench.follower.look()
    assert bench.state() == ["following"]
    answered = bench.shown()["crimeguard_registry_last_success_timestamp_seconds",]
    assert answered >= before - 0.001
    bench.registry.failure = RegistryError("down")
    for _ in range(3):
        bench.follower.look()
    found = bench.shown()
    assert bench.state() == ["unreachable"]
    assert found["crimeguard_registry_last_success_timestamp_seconds",] == answered
    assert found["crimeguard_registry_failures_total", "unreachable"] == 3
    assert found["crimeguard_registry_failures_total", "refused"] == 0


def test_a_registry_with_a_bad_bundle_answers_and_the_bundle_is_counted_once(bench: Bench) -> None:
    bench.registry.version = "2"
    bench.follower.look()
    bench.follower.look()
    found = bench.shown()
    assert bench.state() == ["refused"]
    assert found["crimeguard_registry_failures_total", "refused"] == 1
    assert found["crimeguard_registry_last_success_timestamp_seconds",] > 0


def test_what_waits_for_its_commit_is_told() -> None:
    class Log:
        backlog = Backlog(12, 3.5)

    found = shown(Gauges(Slot(), log=cast("PredictionLog", Log())))
    assert found["crimeguard_log_waiting_rows",] == 12
    assert found["crimeguard_log_lag_seconds",] == 3.5
