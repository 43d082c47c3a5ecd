"""Several worker processes behind one port, and the one that looks after them.

The supervisor holds the port and answers nobody. It starts the workers as programs of their
own (a fork would copy the threads of native libraries half), replaces one that dies, passes
on the signals that it gets, and ends when they have. A worker whose supervisor is gone
ends as if it had been told to.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import FrameType
from typing import Final

from crimeguard.domain.errors import CrimeGuardError
from crimeguard.serve.shared import came_up, forget
from crimeguard.settings import VARIABLES, Settings

log = logging.getLogger(__name__)

PROGRAM: Final = "crimeguard.serve.worker"
_TICK: Final = 0.05  # seconds
_TRIES: Final = 5  # starts that fail one after the other while nobody answers
_BRIEF: Final = 1.0  # seconds; who died sooner after coming up died at once
_MOST_PAUSE: Final = 30.0  # seconds
_LAST_WORDS: Final = 30.0  # seconds for ending, beside those for draining
_ASKED: Final = (0, -signal.SIGTERM, -signal.SIGINT)  # how one ends that was asked to


@dataclass(slots=True)
class Worker:
    """One place among the workers, and the process that has it now."""

    place: int
    process: subprocess.Popen[bytes] | None = None
    up_since: float | None = None
    failures: int = 0  # deaths at once, one after the other
    due: float = 0.0  # when the next process is to be started
    lives: int = 0


@dataclass
class Supervisor:
    """Keeps so many workers alive until it is asked to end.

    Parameters
    ----------
    number
        How many.
    start
        Starts the process of a place; told whether another had it before.
    up
        Tells whether the process of a place has begun to answer.
    gone
        Told of a place whose process has died.
    leave
        Called once when it is asked to end.
    patience
        Seconds that the workers have for ending.
    pause
        Seconds before a worker is started again that died at once; doubled every time.
    """

    number: int
    start: Callable[[int, bool], subprocess.Popen[bytes]]
    up: Callable[[int], bool]
    gone: Callable[[int], None]
    leave: Callable[[], None]
    patience: float
    pause: float = 0.5
    workers: list[Worker] = field(init=False)

    def __post_init__(self) -> None:
        """Prepare the places."""
        self.workers = [Worker(place) for place in range(self.number)]
        self._signals: list[int] = []
        self._ever_up = False
        self._failed_starts = 0

    def run(self) -> None:
        """Return once all workers have ended as asked.

        CrimeGuardError if none comes up, or if one does not end well.
        """
        with self._listening_to_signals():
            try:
                while not self._signals:
                    for worker in self.workers:
                        self._look_after(worker)
                    time.sleep(_TICK)
                self._end()
            finally:
                self._kill_the_rest()

    def _look_after(self, worker: Worker) -> None:
        if worker.process is None:
            if time.monotonic() >= worker.due:
                self._begin(worker)
        elif (code := worker.process.poll()) is not None:
            self._mourn(worker, code)
        elif worker.up_since is None and self.up(worker.place):
            worker.up_since = time.monotonic()
            self._ever_up, self._failed_starts = True, 0

    def _begin(self, worker: Worker) -> None:
        worker.process = self.start(worker.place, worker.lives > 0)
        worker.up_since = None
        worker.lives += 1
        log.info("worker %d is process %d", worker.place, worker.process.pid)

    def _mourn(self, worker: Worker, code: int) -> None:
        """Take leave of a process, and plan the next; CrimeGuardError if there is no point."""
        _let_go(worker.process)
        self.gone(worker.place)
        if worker.up_since is None:
            self._failed_starts += 1
        lived = 0.0 if worker.up_since is None else time.monotonic() - worker.up_since
        worker.failures = 0 if lived > _BRIEF else worker.failures + 1
        worker.process, worker.up_since = None, None
        self._require_hope(code)
        wait = min(_MOST_PAUSE, self.pause * 2 ** (worker.failures - 1)) if worker.failures else 0
        worker.due = time.monotonic() + wait
        log.warning("worker %d has ended by itself, %s; another takes its place%s",
                    worker.place, _how(code), f" in {wait:.0f} s" if wait >= 1 else "")  # fmt: skip

    def _require_hope(self, code: int) -> None:
        # A worker that refuses to start says why, and would say the same again.
        refused = code > 0 and not self._ever_up
        answering = any(worker.up_since is not None for worker in self.workers)
        if refused or (self._failed_starts >= _TRIES and not answering):
            raise CrimeGuardError(
                "No worker of the API comes up.", why=f"The last one ended {_how(code)}.",
                fix="See its words above.",
            )  # fmt: skip

    def _end(self) -> None:
        self.leave()
        codes: dict[int, int] = {}
        end = time.monotonic() + self.patience
        while len(codes) < self.number:
            for number in self._taken_signals():
                self._pass_on(number)
            for worker in self.workers:
                code = 0 if worker.process is None else worker.process.poll()
                if code is not None:
                    codes[worker.place] = code
            if time.monotonic() > end:
                raise CrimeGuardError("The workers of the API did not end in time.",
                                      fix="They were killed.")  # fmt: skip
            time.sleep(_TICK)
        self._require_good(codes)

    def _require_good(self, codes: dict[int, int]) -> None:
        # Who never came up has answered nobody, and lost nothing.
        ended = [
            codes[item.place] for item in self.workers
            if item.up_since is not None or self.up(item.place)
        ]  # fmt: skip
        bad = [code for code in ended if code not in _ASKED]
        if bad:
            raise CrimeGuardError(f"A worker of the API ended {_how(bad[0])}.",
                                  fix="See its words above.")  # fmt: skip

    def _pass_on(self, number: int) -> None:
        for worker in self.workers:
            if worker.process is not None:
                worker.process.send_signal(number)

    def _taken_signals(self) -> list[int]:
        taken, self._signals = self._signals, []
        return taken

    def _kill_the_rest(self) -> None:
        for worker in self.workers:
            if worker.process is not None and worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait()
            _let_go(worker.process)

    @contextmanager
    def _listening_to_signals(self) -> Iterator[None]:
        numbers = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.signal(number, self._on_signal) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._signals.append(number)


def supervise(
    settings: Settings, listener: socket.socket, bundle: Path | None, *, program: str = PROGRAM
) -> None:
    """Answer on a socket with `settings.workers` processes until asked to end."""
    with tempfile.TemporaryDirectory(prefix="crimeguard-") as name:
        folder = Path(name)
        # The port that was free, if any would do.
        settings = replace(settings, port=listener.getsockname()[1])

        def start(place: int, again: bool) -> subprocess.Popen[bytes]:
            given = {
                "listener": listener.fileno(), "folder": name, "place": place, "again": again,
                "bundle": None if bundle is None else str(bundle),
            }  # fmt: skip
            # Of a session of its own: Ctrl-C comes once, from us. The end of its standard
            # input tells it that we are gone.
            return subprocess.Popen(  # noqa: S603 -- this program, and what we have made up
                [sys.executable, "-m", program, json.dumps(given)], stdin=subprocess.PIPE,
                env=environment(settings), pass_fds=[listener.fileno()], start_new_session=True,
            )  # fmt: skip

        Supervisor(
            settings.workers, start, up=lambda place: came_up(folder, place),
            gone=lambda place: forget(folder, place), leave=listener.close,
            patience=settings.drain_seconds + _LAST_WORDS,
        ).run()  # fmt: skip


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment in which a child reads the same settings."""
    environ = {name: text for name, text in os.environ.items() if name not in VARIABLES.values()}
    for item in fields(settings):
        value = getattr(settings, item.name)
        if value != item.default:
            environ[VARIABLES[item.name]] = str(value)
    return environ


def _let_go(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None and process.stdin is not None:
        process.stdin.close()


def _how(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    return f"by signal {-code} ({signal.Signals(-code).name})"
