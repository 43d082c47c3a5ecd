"""Prometheus metrics, in a registry of the app's own."""

from __future__ import annotations

import time
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.level import InformationLevel
from crimeguard.records.prediction_log import PredictionLog
from crimeguard.serve.follower import Follower
from crimeguard.serve.gauges import Gauges
from crimeguard.serve.guard import route_of
from crimeguard.serve.logs import Requests
from crimeguard.serve.shared import Shared
from crimeguard.serve.slot import Slot

CHAMPION: Final = "champion"

# A time of creation beside every series doubles the answer and is asked for by nobody here.
disable_created_metrics()  # type: ignore[no-untyped-call]

# Close together where single predictions lie, so that quantiles between them mean something.
_SECONDS: Final = (0.0005, 0.001, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03,
                   0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # fmt: skip
_ROWS: Final = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
# Counted from 0 on, or a rate would miss the first answers and the first failures.
_ROUTES: Final = ("/predict", "/predict/batch", "/labels")
_OUTCOMES: Final = ("200", "500", "503")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _Registry(CollectorRegistry):
    """Knows which of its collectors are asked for what they tell, and count nothing themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Collector] = []

    def register(self, collector: Collector) -> None:
        super().register(collector)
        if not isinstance(collector, MetricWrapperBase):
            self.told.append(collector)


class Metrics:
    """The counts of one app; slot, follower and log are read when Prometheus asks.

    With `shared` they are those of all workers, whichever of them is asked.
    """

    def __init__(
        self,
        slot: Slot,
        follower: Follower | None = None,
        log: PredictionLog | None = None,
        shared: Shared | None = None,
    ) -> None:
        self._shared = shared
        self._answered: dict[tuple[str, str, int], Counter] = {}
        self._timed: dict[str, Histogram] = {}
        self._predicted: dict[tuple[str, str, str], Counter] = {}
        self.registry = _Registry()
        self.registry.register(Gauges(slot, follower, log))
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._count_http()
        self._count_predictions()
        self._count_log()

    def _count_http(self) -> None:
        self._requests = Counter(
            "crimeguard_http_requests", "Requests answered.", ("route", "method", "status"),
            registry=self.registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "crimeguard_http_request_seconds", "Time from request to the end of its answer.",
            ("route",), buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        for route in _ROUTES:
            self._seconds.labels(route)
            for status in _OUTCOMES:
                self._requests.labels(route, "POST", status)
        self.in_progress = Gauge(
            "crimeguard_http_requests_in_progress", "Requests that are not answered yet.",
            registry=self.registry, multiprocess_mode="livesum",
        )  # fmt: skip
        self._restarts = Counter(
            "crimeguard_worker_restarts", "Workers that took the place of one that had died.",
            registry=self.registry,
        )  # fmt: skip
        self._held_up = Counter(
            "crimeguard_requests_held_up", "Requests that were more than their API key may make.",
            ("key",), registry=self.registry,
        )  # fmt: skip

    def _count_predictions(self) -> None:
        self._predictions = Counter(
            "crimeguard_predictions", "Predictions answered.", ("category", "level", "variant"),
            registry=self.registry,
        )  # fmt: skip
        # From 0 on as well.
        for category in CATEGORIES:
            for level in InformationLevel:
                self._predictions.labels(category, level.label, CHAMPION)
        self._batch_rows = Histogram(
            "crimeguard_batch_rows", "Incidents in one batch.", buckets=_ROWS,
            registry=self.registry,
        )  # fmt: skip
        self._labels = Counter(
            "crimeguard_labels", "Labels received over HTTP and stored, or known already.",
            ("outcome",), registry=self.registry,
        )  # fmt: skip
        for outcome in ("accepted", "unchanged"):
            self._labels.labels(outcome)

    def _count_log(self) -> None:
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
        # Looking a series up by its labels takes longer than counting.
        key = (route, method, status)
        counter = self._answered.get(key)
        if counter is None:
            counter = self._answered[key] = self._requests.labels(route, method, str(status))
        counter.inc()
        timer = self._timed.get(route)
        if timer is None:
            timer = self._timed[route] = self._seconds.labels(route)
        timer.observe(seconds)

    def held_up(self, key: str) -> None:
        """Count a request that was more than the key of this name may make."""
        self._held_up.labels(key).inc()

    def count_predictions(
        self, category: str, level: str, number: int = 1, *, variant: str = CHAMPION
    ) -> None:
        """Count answered predictions of one category at one level, by one of our models."""
        key = (category, level, variant)
        counter = self._predicted.get(key)
        if counter is None:
            counter = self._predicted[key] = self._predictions.labels(*key)
        counter.inc(number)

    def count_labels(self, accepted: int, unchanged: int) -> None:
        """Count labels that were new, and those that said what is known."""
        self._labels.labels("accepted").inc(accepted)
        self._labels.labels("unchanged").inc(unchanged)

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

    def restarted(self) -> None:
        """Count a worker that took the place of one that had died."""
        self._restarts.inc()

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        if self._shared is None:
            return generate_latest(self.registry)
        return self._shared.exposition(self.registry.told)

    @property
    def is_shared(self) -> bool:
        """Whether there are other workers."""
        return self._shared is not None

    def publish(self) -> None:
        """Tell the other workers how things are here."""
        if self._shared is not None:
            self._shared.publish(self.registry.told)


class Measured:
    """ASGI middleware that counts and times every request, and logs those that stand out."""

    def __init__(self, app: ASGIApp, metrics: Metrics, requests: Requests) -> None:
        self._app = app
        self._metrics = metrics
        self._requests = requests

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

        self._metrics.in_progress.inc()
        try:
            await self._app(scope, receive, noting)
        finally:
            self._metrics.in_progress.dec()
            # Only our own routes and methods become labels: a stranger must not be able
            # to make new time series.
            route = getattr(scope.get("route"), "path", None) or route_of(scope["path"])
            route = route or "unmatched"
            method = scope["method"] if scope["method"] in _METHODS else "other"
            seconds = time.perf_counter() - began
            self._metrics.count_request(route, method, status, seconds)
            self._requests.tell(
                scope.get("state", {}), route=route, method=method, status=status, seconds=seconds
            )
