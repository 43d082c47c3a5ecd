"""What the routes share."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from starlette.requests import Request

from crimeguard.cores import cores
from crimeguard.records.prediction_log import PredictionLog
from crimeguard.serve.desk import Desk
from crimeguard.serve.evidence import Evidence
from crimeguard.serve.follower import Follower
from crimeguard.serve.guard import Door
from crimeguard.serve.logs import Requests
from crimeguard.serve.metrics import Metrics
from crimeguard.serve.problem import LEAVING, Problem
from crimeguard.serve.slot import Slot
from crimeguard.serve.traffic import Traffic
from crimeguard.serve.verdicts import Verdicts
from crimeguard.serve.workers import Workers
from crimeguard.settings import Settings


def _singles() -> Workers:
    return Workers("single", threads=max(2, cores()), waiting=256)


def _batches() -> Workers:
    # One at a time: a batch of a million rows must not starve single incidents.
    return Workers("batch", threads=1, waiting=8)


def _labels() -> Workers:
    return Workers("labels", threads=1, waiting=32)


def _experiments() -> Workers:
    return Workers("experiments", threads=1, waiting=8)


def _no_traffic() -> Traffic:
    return Traffic(Slot())


@dataclass(frozen=True, slots=True)
class Service:
    """The parts of one running API.

    `follower` is None when one bundle is served for good, `log`, `verdicts` and `evidence`
    only in tests. `traffic` says who answers while an experiment runs, `door` who is let in;
    `requests` tells of those that stand out. `leaving` is set when requests should be sent
    elsewhere.
    """

    settings: Settings
    slot: Slot
    metrics: Metrics
    desk: Desk
    door: Door
    follower: Follower | None = None
    log: PredictionLog | None = None
    verdicts: Verdicts | None = None
    traffic: Traffic = field(default_factory=_no_traffic)
    evidence: Evidence | None = None
    singles: Workers = field(default_factory=_singles)
    batches: Workers = field(default_factory=_batches)
    labels: Workers = field(default_factory=_labels)
    experiments: Workers = field(default_factory=_experiments)
    requests: Requests = field(default_factory=Requests)
    leaving: threading.Event = field(default_factory=threading.Event)
    began: float = field(default_factory=time.monotonic)

    def start(self) -> None:
        """Begin to follow the registry, the verdicts and the experiment."""
        if self.follower is not None:
            self.follower.start()
        if self.verdicts is not None:
            self.verdicts.start()
        self.traffic.start()
        if self.evidence is not None:
            self.evidence.start()

    def require_ready(self) -> None:
        """Raise the Problem for which no request should be sent here, if there is one."""
        if self.leaving.is_set():
            raise Problem(LEAVING, "It answers what still comes, and ends in a few seconds.")
        self.slot.require()

    def close(self) -> None:
        """Stop following, and let what runs come to its end."""
        if self.follower is not None:
            self.follower.stop()
        if self.verdicts is not None:
            self.verdicts.close()
        self.traffic.close()
        if self.evidence is not None:
            self.evidence.close()
        self.singles.close()
        self.batches.close()
        self.labels.close()
        self.experiments.close()


def service_of(request: Request) -> Service:
    """Return the service that a request was sent to."""
    service: Service = request.app.state.service
    return service
