"""The experiment that runs, and what its labels say, as gauges.

Labels come in by other processes too, so a thread reads them from the log now and then; a
scrape never waits for that. The first process that finds a verdict writes it in the ledger.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from crimeguard.domain.errors import RecordsError
from crimeguard.evaluate.betting import MODES
from crimeguard.records.database import Database
from crimeguard.records.entry import CHALLENGER, CHAMPION, SHADOW
from crimeguard.records.ledger import Ledger
from crimeguard.records.trial import Counted
from crimeguard.registry import experiments
from crimeguard.registry.experiments import Look
from crimeguard.repeating import Repeating
from crimeguard.serve.traffic import State, Traffic

log = logging.getLogger(__name__)

EVERY: Final = 30.0  # seconds
_REST: Final = 20  # times as long as a look took: at most 5 % of a core goes into looking
_STATES: Final[tuple[str, ...]] = get_args(State)


class Evidence(Collector):
    """Gauges of an experiment; those of its labels only while one runs."""

    def __init__(self, traffic: Traffic, database: Database, *, every: float = EVERY) -> None:
        self._traffic = traffic
        self._database = database
        self._every = every
        self._took = 0.0
        self._known: Look | None = None
        self._repeating = Repeating("evidence", self.look, self._pause)

    def start(self) -> None:
        """Begin to look."""
        self._repeating.start()

    def close(self) -> None:
        """Stop looking; a query that hangs is left behind."""
        self._repeating.close()

    def look(self) -> None:
        """Read the labels anew; what was known last stays if they cannot be read."""
        experiment = self._traffic.state.experiment
        if experiment is None:
            self._known = None
            return
        began = time.monotonic()
        try:
            found = experiments.look(self._database, experiment, dt.datetime.now(dt.UTC))
            experiments.decide(
                Ledger(self._database), experiment, found.finding, who=self._traffic.who
            )  # fmt: skip
        except RecordsError as error:
            log.warning("the labels of the experiment cannot be read: %s", error)
        else:
            self._known = found
        self._took = time.monotonic() - began

    def collect(self) -> Iterable[Metric]:
        """Return the gauges as Prometheus asks for them."""
        families = _families()
        now, known = self._traffic.state, self._known
        for name in _STATES:
            families["state"].add_metric([name], float(name == now.state))
        families["failures"].add_metric(["refused"], now.refused)
        families["failures"].add_metric(["unreachable"], now.unreachable)
        wanted = None if now.experiment is None else now.experiment.contest.wanted
        for mode in MODES:
            running = wanted is not None and wanted.mode == mode
            families["running"].add_metric([mode], float(running))
        families["share"].add_metric([], 0.0 if wanted is None else wanted.share)
        if (
            known is not None
            and now.experiment is not None
            and (known.experiment.id == now.experiment.id)
        ):
            _tell(families, known)
        return families.values()

    def describe(self) -> Iterator[Metric]:
        """Name the gauges without asking anybody."""
        yield from _families().values()

    def _pause(self) -> float:
        return max(self._every, _REST * self._took)


def _families() -> dict[str, GaugeMetricFamily | CounterMetricFamily]:
    families = (
        GaugeMetricFamily("crimeguard_experiment_state",
                          "1 for how the experiment goes here, 0 for the others.",
                          labels=("state",)),
        CounterMetricFamily("crimeguard_experiment_failures",
                            "Looks without an answer, and challengers that did not verify.",
                            labels=("reason",)),
        GaugeMetricFamily("crimeguard_experiment_running",
                          "1 for the mode of the experiment that runs.", labels=("mode",)),
        GaugeMetricFamily("crimeguard_experiment_share",
                          "Share of incidents that the challenger answers, 0 to 1."),
        GaugeMetricFamily("crimeguard_experiment_predictions",
                          "Predictions of the experiment.", labels=("variant",)),
        GaugeMetricFamily("crimeguard_experiment_labelled",
                          "Those with a label, mature or not.", labels=("variant",)),
        GaugeMetricFamily("crimeguard_experiment_missing_labels",
                          "Labels that lack to the horizon of the plan."),
        GaugeMetricFamily("crimeguard_experiment_log_evidence",
                          "Natural logarithm of the evidence that the challenger is so.",
                          labels=("direction",)),
        GaugeMetricFamily("crimeguard_experiment_log_evidence_threshold",
                          "Log evidence that decides."),
    )  # fmt: skip
    return {family.name.removeprefix("crimeguard_experiment_"): family for family in families}


def _tell(families: Mapping[str, GaugeMetricFamily | CounterMetricFamily], known: Look) -> None:
    beside = SHADOW if known.experiment.contest.wanted.mode == "shadow" else CHALLENGER
    for variant in (CHAMPION, beside):
        counted = known.counts.get(variant, Counted())
        families["predictions"].add_metric([variant], counted.predictions)
        families["labelled"].add_metric([variant], counted.labelled)
    found = known.finding
    families["missing_labels"].add_metric([], found.missing)
    for direction, value in (("better", found.better), ("worse", found.worse)):
        if value is not None:
            families["log_evidence"].add_metric([direction], value)
    if found.threshold is not None:
        families["log_evidence_threshold"].add_metric([], found.threshold)
