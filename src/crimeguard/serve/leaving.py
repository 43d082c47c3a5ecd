"""Leaving in order: callers are sent elsewhere before the port is closed.

A server that closes at once breaks connections that callers keep, and those the kernel has
accepted for it: a request that is on its way then is lost, and asking for a prediction
again is not for a caller to guess. So for a while it says that it is not ready, asks every
caller who is answered to close the connection, and still answers whatever comes.
"""

from __future__ import annotations

import logging
import signal
import time
from contextlib import closing
from functools import partial
from socket import socket
from types import FrameType
from typing import Any, Final

import uvicorn
from fastapi import FastAPI

from crimeguard.repeating import Repeating
from crimeguard.serve import shared
from crimeguard.serve.connection import BoundedConnection, Bounds, close_the_late
from crimeguard.serve.service import Service
from crimeguard.settings import Settings

log = logging.getLogger(__name__)

_GRACE_SECONDS: Final = 20
_SWEEP: Final = 10  # ticks of a tenth of a second


def configured(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """Return how the server is run: no more connections and no slower ones than allowed."""
    service: Service = app.state.service
    protocol: Any = partial(BoundedConnection, bounds=Bounds.of(settings, service))
    return uvicorn.Config(
        app, http=protocol, workers=1, log_config=None, access_log=False, server_header=False,
        proxy_headers=False, ws="none", lifespan="on", timeout_graceful_shutdown=_GRACE_SECONDS,
    )  # fmt: skip


class LeavingServer(uvicorn.Server):
    """Ends `drain_seconds` after SIGTERM; at once after SIGINT, or the second signal.

    Parameters
    ----------
    service
        Its `leaving` is set when the time begins; the app tells it to callers and probes.
    again
        Whether this process takes the place of one that has died.
    """

    def __init__(self, config: uvicorn.Config, service: Service, *, again: bool = False) -> None:
        super().__init__(config)
        self._service = service
        self._leaving = service.leaving
        self._seconds = service.settings.drain_seconds
        self._closes = 0.0
        if again:
            service.metrics.restarted()

    def run(self, sockets: list[socket] | None = None) -> None:
        """Answer until told to end."""
        with closing(Repeating("metrics", self._publish, shared.EVERY)) as telling:
            if self._service.metrics.is_shared:
                telling.start()
            super().run(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal: the first SIGTERM only begins to leave."""
        if sig != signal.SIGTERM or not self._seconds or self._leaving.is_set():
            super().handle_exit(sig, frame)
            return
        self._closes = time.monotonic() + self._seconds
        self._leaving.set()

    async def on_tick(self, counter: int) -> bool:
        """Tell, ten times a second, whether it is time to close."""
        if counter % _SWEEP == 0:
            close_the_late(self.server_state.connections)
        over = await super().on_tick(counter)
        return over or (self._leaving.is_set() and time.monotonic() >= self._closes)

    def _publish(self) -> None:
        if not self.started:
            return  # who has told something is taken to be up
        try:
            self._service.metrics.publish()
        except OSError as error:
            log.warning("the other workers cannot be told the metrics of this one: %s", error)
