"""Gauges that are read when Prometheus asks: bundle, registry, backlog of the log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

import crimeguard
from crimeguard.records.prediction_log import Backlog, PredictionLog
from crimeguard.serve.follower import Follower, State
from crimeguard.serve.slot import Slot, model_info

_STATES: Final[tuple[str, ...]] = get_args(State)


class Gauges(Collector):
    """Tells how things are when asked, so that what is over leaves no trace.

    Without a follower nothing is told of the registry, without a log nothing of its backlog.
    """

    def __init__(
        self, slot: Slot, follower: Follower | None = None, log: PredictionLog | None = None
    ) -> None:
        self._slot = slot
        self._follower = follower
        self._log = log

    def collect(self) -> Iterator[Metric]:
        """Return the gauges as Prometheus asks for them."""
        build = GaugeMetricFamily(
            "crimeguard_build_info", "CrimeGuard's own version, always 1.", labels=("version",)
        )
        build.add_metric([crimeguard.__version__], 1.0)
        yield build
        yield GaugeMetricFamily("crimeguard_workers", "Processes that answer requests.", 1.0)
        yield from self._bundle()
        if self._follower is not None:
            yield from _registry(self._follower)
        if self._log is not None:
            yield from _backlog(self._log.backlog)

    def describe(self) -> Iterator[Metric]:
        """Return nothing: the registry need not ask before Prometheus does."""
        return iter(())

    def _bundle(self) -> Iterator[Metric]:
        predictor, since = self._slot.current, self._slot.since
        ready = GaugeMetricFamily("crimeguard_ready", "1 while a verified bundle is in service.")
        ready.add_metric([], 0.0 if predictor is None else 1.0)
        yield ready
        info = GaugeMetricFamily(
            "crimeguard_bundle_info", "The bundle in service, always 1.",
            labels=("name", "version", "sha256"),
        )  # fmt: skip
        loaded = GaugeMetricFamily(
            "crimeguard_bundle_loaded_timestamp_seconds", "When this process began to serve it."
        )
        if predictor is not None and since is not None:
            info.add_metric(list(model_info(predictor.bundle).values()), 1.0)
            loaded.add_metric([], since)
        yield info
        yield loaded


def _registry(follower: Follower) -> Iterator[Metric]:
    now = follower.state
    state = GaugeMetricFamily(
        "crimeguard_registry_state", "1 for how the registry is followed now, 0 for the others.",
        labels=("state",),
    )  # fmt: skip
    for name in _STATES:
        state.add_metric([name], float(name == now.state))
    yield state
    answered = GaugeMetricFamily(
        "crimeguard_registry_last_success_timestamp_seconds", "When the registry answered last."
    )
    if now.answered_at is not None:
        answered.add_metric([], now.answered_at.timestamp())
    yield answered
    failures = CounterMetricFamily(
        "crimeguard_registry_failures",
        "Looks that the registry did not answer, and bundles that did not verify.",
        labels=("reason",),
    )
    failures.add_metric(["unreachable"], now.unreachable)
    failures.add_metric(["refused"], now.refused)
    yield failures


def _backlog(backlog: Backlog) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "crimeguard_log_waiting_rows", "Predictions that wait for their commit.", backlog.rows
    )
    yield GaugeMetricFamily(
        "crimeguard_log_lag_seconds", "For how long the oldest of them has waited; 0 for none.",
        backlog.seconds,
    )  # fmt: skip
