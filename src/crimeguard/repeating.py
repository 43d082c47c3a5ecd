"""A thread that does one thing again and again until it is told to end."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread
from typing import Final

_LAST_WORDS: Final = 5.0  # seconds


class Repeating:
    """Calls `step` at once and then `every` so many seconds.

    Parameters
    ----------
    step
        What it raises ends the thread, so it handles its own errors.
    every
        Seconds between the end of a step and the next, or what tells them after each.
    """

    def __init__(
        self, name: str, step: Callable[[], object], every: float | Callable[[], float]
    ) -> None:
        self._step = step
        self._every = every
        self._stopping = Event()
        self._thread = Thread(target=self._run, name=f"crimeguard-{name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End; a step that takes longer than a few seconds is left behind."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=_LAST_WORDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._step()
            every = self._every() if callable(self._every) else self._every
            self._stopping.wait(every)
