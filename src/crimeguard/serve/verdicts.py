"""What the monitor said last of the bundle in service, as gauges.

The monitor is another process; what it found is in the ledger. A thread looks there, so
that a database which hangs never holds up a scrape.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from crimeguard.domain.errors import RecordsError
from crimeguard.records.ledger import Ledger, LedgerEntry
from crimeguard.repeating import Repeating
from crimeguard.serve.slot import Slot

log = logging.getLogger(__name__)

EVERY: Final = 15.0  # seconds: a common rhythm of scraping
_SOON: Final = 1.0  # seconds between looks while no bundle is in service yet
_BACK: Final = 100  # verdicts to go back for one that said something
_STATUSES: Final = ("too few", "ok", "warning", "critical")
_KINDS: Final = ("estimated", "promised", "realised")


class Verdicts(Collector):
    """Gauges of the newest verdict; none while there is none on the bundle in service.

    A verdict on too few incidents says nothing, not even that all is well: scores and
    accuracies stay those of the last one that said something.
    """

    def __init__(self, ledger: Ledger, slot: Slot, *, every: float = EVERY) -> None:
        self._ledger = ledger
        self._slot = slot
        self._every = every
        # The newest, and the newest that said something: swapped together.
        self._known: tuple[LedgerEntry, LedgerEntry | None] | None = None
        self._repeating = Repeating("verdicts", self.look, self._pause)

    def start(self) -> None:
        """Begin to look."""
        self._repeating.start()

    def close(self) -> None:
        """Stop looking; a query that hangs is left behind."""
        self._repeating.close()

    def look(self) -> None:
        """Read the newest verdict; the last one known stays if the ledger cannot be read."""
        predictor = self._slot.current
        if predictor is None:
            return
        try:
            self._known = self._read(predictor.bundle.sha256)
        except RecordsError as error:
            log.warning("the newest verdict cannot be read: %s", error)

    def collect(self) -> Iterable[Metric]:
        """Return the gauges as Prometheus asks for them."""
        known, predictor = self._known, self._slot.current
        families = _families()
        if known is not None and predictor is not None:
            newest, telling = known
            if newest.subject == predictor.bundle.sha256:
                _tell(families, newest)
                if telling is not None:
                    _tell_scores(families, telling.evidence)
        return families.values()

    def describe(self) -> Iterator[Metric]:
        """Name the gauges without asking the ledger."""
        yield from _families().values()

    def _read(self, sha256: str) -> tuple[LedgerEntry, LedgerEntry | None] | None:
        found = self._ledger.entries("verdict", subject=sha256, newest=1)
        if not found:
            return None
        newest = found[-1]
        if newest.evidence.get("performance") is not None:
            return newest, newest
        known = self._known
        if known is not None and known[0].subject == sha256:
            return newest, known[1]
        earlier = self._ledger.entries("verdict", subject=sha256, newest=_BACK)
        said = [line for line in earlier if line.evidence.get("performance")]
        return newest, said[-1] if said else None

    def _pause(self) -> float:
        waiting = self._slot.current is None
        return min(_SOON, self._every) if waiting else self._every


def _families() -> dict[str, GaugeMetricFamily]:
    families = (
        GaugeMetricFamily("crimeguard_drift_score", "Drift score by component, 0 to 1.",
                          labels=("component",)),
        GaugeMetricFamily("crimeguard_drift_overall", "The largest drift score, 0 to 1."),
        GaugeMetricFamily("crimeguard_drift_threshold", "Score above which a drift is severe.",
                          labels=("severity",)),
        GaugeMetricFamily("crimeguard_accuracy", "Accuracy, 0 to 1.", labels=("kind",)),
        GaugeMetricFamily("crimeguard_accuracy_low", "Lower end of its 95 % interval.",
                          labels=("kind",)),
        GaugeMetricFamily("crimeguard_accuracy_high", "Upper end of its 95 % interval.",
                          labels=("kind",)),
        GaugeMetricFamily("crimeguard_verdict_timestamp_seconds",
                          "When the newest verdict was made."),
        GaugeMetricFamily("crimeguard_verdict_status", "1 for what it said, 0 for the others.",
                          labels=("status",)),
        GaugeMetricFamily("crimeguard_verdict_rows", "Incidents that it was made on."),
        GaugeMetricFamily("crimeguard_verdict_labels", "Labels that it was made on."),
    )  # fmt: skip
    return {family.name.removeprefix("crimeguard_"): family for family in families}


def _tell(families: Mapping[str, GaugeMetricFamily], verdict: LedgerEntry) -> None:
    said = verdict.evidence
    families["verdict_timestamp_seconds"].add_metric([], verdict.at.timestamp())
    families["verdict_rows"].add_metric([], said.get("rows", 0))
    families["verdict_labels"].add_metric([], said.get("labels", 0))
    for status in _STATUSES:
        families["verdict_status"].add_metric([status], float(status == said.get("status")))


def _tell_scores(families: Mapping[str, GaugeMetricFamily], said: Mapping[str, Any]) -> None:
    for component in said["components"]:
        families["drift_score"].add_metric([component["name"]], component["score"])
    families["drift_overall"].add_metric([], said["score"])
    for severity in ("warning", "critical"):
        families["drift_threshold"].add_metric([severity], said[severity])
    performance = said["performance"]
    families["accuracy"].add_metric(["expected"], performance["expected"])
    for kind in _KINDS:
        estimate = performance[kind]
        if estimate is not None:
            families["accuracy"].add_metric([kind], estimate["value"])
            families["accuracy_low"].add_metric([kind], estimate["low"])
            families["accuracy_high"].add_metric([kind], estimate["high"])
