"""Prometheus metrics, in a registry of the app's own."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crimeguard.serve.slot import Slot, model_info

# A time of creation beside every series doubles the answer and is asked for by nobody here.
disable_created_metrics()  # type: ignore[no-untyped-call]

_SECONDS: Final = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                   1.0, 2.5, 5.0, 10.0, 30.0)  # fmt: skip
_ROWS: Final = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """The counts of one app; `slot` is read when Prometheus asks."""

    def __init__(self, slot: Slot) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_BundleCollector(slot))
        self._requests = Counter(
            "crimeguard_http_requests", "Requests answered.", ("route", "method", "status"),
            registry=self.registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "crimeguard_http_request_seconds", "Time from request to the end of its answer.",
            ("route",), buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self._predictions = Counter(
            "crimeguard_predictions", "Predictions answered.", ("category", "level"),
            registry=self.registry,
        )  # fmt: skip
        self._batch_rows = Histogram(
            "crimeguard_batch_rows", "Incidents in one batch.", buckets=_ROWS,
            registry=self.registry,
        )  # fmt: skip

        self._log_rows = Counter(
            "crimeguard_log_rows", "Predictions committed to the log.", registry=self.registry
        )
        self._log_seconds = Histogram(
            "crimeguard_log_commit_seconds", "Time of one transaction of the log.",
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self._log_failures = Counter(
            "crimeguard_log_failures", "Transactions of the log that failed.",
            registry=self.registry,
        )  # fmt: skip

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def count_predictions(self, category: str, level: str, number: int = 1) -> None:
        """Count answered predictions of one category at one level."""
        self._predictions.labels(category, level).inc(number)

    def count_batch(self, rows: int) -> None:
        """Count one batch of `rows` incidents."""
        self._batch_rows.observe(rows)

    def committed(self, rows: int, seconds: float) -> None:
        """Count predictions that are safe in the log."""
        self._log_rows.inc(rows)
        self._log_seconds.observe(seconds)

    def failed(self) -> None:
        """Count a transaction of the log that failed."""
        self._log_failures.inc()

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class _BundleCollector(Collector):
    """Tells of the bundle in service as it is when asked, so that a swap leaves no trace."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot

    def collect(self) -> Iterable[Metric]:
        predictor = self._slot.current
        ready = GaugeMetricFamily("crimeguard_ready", "1 while a verified bundle is in service.")
        ready.add_metric([], 0.0 if predictor is None else 1.0)
        yield ready
        info = GaugeMetricFamily(
            "crimeguard_bundle_info", "The bundle in service.", labels=("name", "version", "sha256")
        )
        if predictor is not None:
            info.add_metric(list(model_info(predictor.bundle).values()), 1.0)
        yield info

    def describe(self) -> Iterator[Metric]:
        # Without it the registry would collect once at registration, to learn the names.
        yield GaugeMetricFamily("crimeguard_ready", "")
        yield GaugeMetricFamily("crimeguard_bundle_info", "")


class Measured:
    """ASGI middleware that counts and times every request."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and count it by route, method and status."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 499  # the client went away before an answer began

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            # Only our own routes and methods become labels: a stranger must not be able
            # to make new time series.
            route = getattr(scope.get("route"), "path", "unmatched")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.count_request(route, method, status, time.perf_counter() - began)
