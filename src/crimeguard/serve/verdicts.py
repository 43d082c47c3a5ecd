"""What the monitor said last of the bundle in service, as gauges.

The monitor is another process; what it found is in the ledger. A thread looks there, so
that a database which hangs never holds up a scrape.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from threading import Event, Thread
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from crimeguard.domain.errors import RecordsError
from crimeguard.records.ledger import Ledger, LedgerEntry
from crimeguard.serve.slot import Slot

log = logging.getLogger(__name__)

EVERY: Final = 15.0  # seconds: a common rhythm of scraping


class Verdicts(Collector):
    """Gauges of the newest verdict; none while there is none on the bundle in service."""

    def __init__(self, ledger: Ledger, slot: Slot, *, every: float = EVERY) -> None:
        self._ledger = ledger
        self._slot = slot
        self._every = every
        self._newest: LedgerEntry | None = None
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="crimeguard-verdicts", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking; a query that hangs is left behind."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def look(self) -> None:
        """Read the newest verdict; the last one known stays if the ledger cannot be read."""
        predictor = self._slot.current
        if predictor is None:
            return
        try:
            found = self._ledger.entries("verdict", subject=predictor.bundle.sha256, newest=1)
        except RecordsError as error:
            log.warning("the newest verdict cannot be read: %s", error)
            return
        self._newest = found[-1] if found else None

    def collect(self) -> Iterable[Metric]:
        """Return the gauges as Prometheus asks for them."""
        newest, predictor = self._newest, self._slot.current
        if newest is None or predictor is None or newest.subject != predictor.bundle.sha256:
            return list(self.describe())
        return _gauges(newest)

    def describe(self) -> Iterator[Metric]:
        """Name the gauges without asking the ledger."""
        yield from _families()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.look()
            self._stopping.wait(self._every)


def _families() -> tuple[GaugeMetricFamily, ...]:
    return (
        GaugeMetricFamily("crimeguard_drift_score", "Drift score of the newest verdict, 0 to 1.",
                          labels=("component",)),
        GaugeMetricFamily("crimeguard_drift_overall", "The largest drift score, 0 to 1."),
        GaugeMetricFamily("crimeguard_accuracy", "Accuracy in the newest verdict, 0 to 1.",
                          labels=("kind",)),
        GaugeMetricFamily("crimeguard_verdict_timestamp_seconds",
                          "When the newest verdict was made."),
    )  # fmt: skip


def _gauges(verdict: LedgerEntry) -> tuple[Metric, ...]:
    scores, overall, accuracy, when = _families()
    said = verdict.evidence
    for component in said["components"]:
        scores.add_metric([component["name"]], component["score"])
    overall.add_metric([], said["score"])
    for kind, value in _accuracies(said["performance"] or {}):
        accuracy.add_metric([kind], value)
    when.add_metric([], verdict.at.timestamp())
    return scores, overall, accuracy, when


def _accuracies(performance: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for kind in ("estimated", "realised"):
        if performance.get(kind) is not None:
            yield kind, performance[kind]["value"]
    if "expected" in performance:
        yield "expected", performance["expected"]
