"""A server as a tree of processes: started, waited for, weighed, ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_PATIENCE: Final = 180.0  # seconds for a server to come up
_GRACE: Final = 20.0  # seconds for it to end by itself


class NotUpError(Exception):
    """A server did not come up; says what it said last."""


class Server:
    """A process of its own session, and all that it starts."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        self._log = log
        # Remembered, since a child whose parent is gone tells no more where it comes from.
        self._known: set[int] = set()
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **environ}, stdin=subprocess.DEVNULL,
                stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def wait_ready(self, url: str) -> float:
        """Return the seconds until `url` answered 200; NotUpError if it does not."""
        began = time.monotonic()
        while time.monotonic() - began < _PATIENCE:
            if self._process.poll() is not None:
                break
            if _answers(url):
                return time.monotonic() - began
            time.sleep(0.02)
        raise NotUpError(self._log.read_text(errors="replace")[-2000:])

    def megabytes(self) -> float:
        """Return the resident memory of all its processes, pages that they share counted each."""
        return sum(_resident(pid) for pid in self._pids()) / 1e6

    def count(self) -> int:
        """Return how many processes it is."""
        return len(self._pids())

    def end(self) -> None:
        """Ask it to end, and end what is left of it."""
        self._pids()
        if self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)
        for pid in self._pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        end = time.monotonic() + _GRACE
        while self._pids() and time.monotonic() < end:  # the kernel takes a moment
            time.sleep(0.01)

    def _pids(self) -> list[int]:
        """Find its processes: its session, and descendants that made sessions of their own."""
        origins = {pid: found for pid in _running() if (found := _origin(pid)) is not None}
        mine = {pid for pid, (_, session) in origins.items() if session == self._process.pid}
        mine |= self._known & origins.keys()
        before = -1
        while len(mine) > before:
            before = len(mine)
            mine |= {pid for pid, (parent, _) in origins.items() if parent in mine}
        self._known = mine
        return sorted(mine)


@contextmanager
def running(command: Sequence[str], environ: Mapping[str, str], log: Path) -> Iterator[Server]:
    """Run a server while the block runs."""
    server = Server(command, environ, log)
    try:
        yield server
    finally:
        server.end()


def free_ports(number: int = 3) -> list[int]:
    """Return different ports that nobody listens on."""
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _running() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _origin(pid: int) -> tuple[int, int] | None:
    """Return parent and session of a process, None if it is gone or only a zombie."""
    try:
        state, parent, _, session = (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:4]
        )
    except OSError:
        return None
    return None if state == "Z" else (int(parent), int(session))


def _resident(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
