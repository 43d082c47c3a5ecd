"""What the routes share."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

from starlette.requests import Request

from crimeguard.serve.follower import Follower
from crimeguard.serve.metrics import Metrics
from crimeguard.serve.slot import Slot
from crimeguard.serve.workers import Workers
from crimeguard.settings import Settings


def _singles() -> Workers:
    return Workers("single", threads=max(2, os.cpu_count() or 2), waiting=256)


def _batches() -> Workers:
    # One at a time: a batch of a million rows must not starve single incidents.
    return Workers("batch", threads=1, waiting=8)


@dataclass(frozen=True, slots=True)
class Service:
    """The parts of one running API; `follower` is None when one bundle is served for good."""

    settings: Settings
    slot: Slot
    metrics: Metrics
    follower: Follower | None = None
    singles: Workers = field(default_factory=_singles)
    batches: Workers = field(default_factory=_batches)
    began: float = field(default_factory=time.monotonic)

    def start(self) -> None:
        """Begin to follow the registry."""
        if self.follower is not None:
            self.follower.start()

    def close(self) -> None:
        """Stop following, and let what runs come to its end."""
        if self.follower is not None:
            self.follower.stop()
        self.singles.close()
        self.batches.close()


def service_of(request: Request) -> Service:
    """Return the service that a request was sent to."""
    service: Service = request.app.state.service
    return service
