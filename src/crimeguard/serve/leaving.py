"""Leaving in order: callers are sent elsewhere before the port is closed.

A server that closes at once breaks connections that callers keep, and those the kernel has
accepted for it: a request that is on its way then is lost, and asking for a prediction
again is not for a caller to guess. So for a while it says that it is not ready, asks every
caller who is answered to close the connection, and still answers whatever comes.
"""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType

import uvicorn


class LeavingServer(uvicorn.Server):
    """Ends `seconds` after SIGTERM; at once after SIGINT, or the second signal.

    Parameters
    ----------
    leaving
        Set when the time begins; the app tells it to callers and probes.
    seconds
        How long callers have to go elsewhere; 0 closes at once.
    """

    def __init__(self, config: uvicorn.Config, leaving: threading.Event, seconds: float) -> None:
        super().__init__(config)
        self._leaving = leaving
        self._seconds = seconds
        self._closes = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal: the first SIGTERM only begins to leave."""
        if sig != signal.SIGTERM or not self._seconds or self._leaving.is_set():
            super().handle_exit(sig, frame)
            return
        self._closes = time.monotonic() + self._seconds
        self._leaving.set()

    async def on_tick(self, counter: int) -> bool:
        """Tell, ten times a second, whether it is time to close."""
        over = await super().on_tick(counter)
        return over or (self._leaving.is_set() and time.monotonic() >= self._closes)
