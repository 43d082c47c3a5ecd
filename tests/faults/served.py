"""The real API as a process of its own, asked by many, and killed."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from crimeguard.records.database import open_database
from crimeguard.serve.supervisor import environment
from crimeguard.settings import Settings

ROOT: Final = Path(__file__).parents[2]
INCIDENT: Final = {"date_occ": "2023-03-10", "time_occ": 2130, "area": 12, "vict_age": 34}
_SINGLES: Final = 6  # threads that ask for one incident at a time
_BATCH: Final = 300  # incidents that one more thread asks for at once
_FEWEST: Final = 20  # answers before a kill, so that there is something to lose


class Served:
    """`crimeguard serve` on a free port; `errors` is what it has said so far.

    Without a bundle it follows a registry. Another `program` than the real one takes no
    options. It is waited for until it is `ready`.
    """

    def __init__(
        self, bundle: Path | None, settings: Settings, *, program: str = "", ready: bool = True
    ) -> None:
        words = [program] if program else ["crimeguard", "serve", "--port", "0"]
        if bundle is not None:
            words += ["--bundle", str(bundle)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=ROOT, env=environment(settings), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.errors = ""
        self._listening = threading.Event()
        self.address = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._listening.wait(60) or not self.address:
            self.end()
            raise AssertionError(self.errors)
        if ready:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until it may be asked; it is ended if that does not come about."""
        end = time.monotonic() + 60
        while not self._ready():
            if time.monotonic() > end or self.process.poll() is not None:
                self.end()
                raise AssertionError(self.errors)
            time.sleep(0.02)

    def kill(self) -> None:
        """End it as the kernel does, without a word."""
        self.process.kill()
        self._gone()

    def end(self) -> None:
        """Ask it to end."""
        if self.process.poll() is None:
            self.process.terminate()
        self._gone()

    def _gone(self) -> None:
        self.process.wait(timeout=40)
        self._reader.join(timeout=10)

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.address}/readyz").is_success
        except httpx.TransportError:
            return False

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                self.errors += line
                if "answers at " in line:
                    self.address = line.split("answers at ")[1].split()[0]
                    self._listening.set()
        self._listening.set()


@contextmanager
def served(
    bundle: Path | None, settings: Settings, *, program: str = "", ready: bool = True
) -> Iterator[Served]:
    """Run the API while the block runs."""
    running = Served(bundle, settings, program=program, ready=ready)
    try:
        yield running
    finally:
        running.end()


@dataclass
class Load:
    """Threads that ask until the server is gone, and the identifiers that reached them."""

    address: str
    acknowledged: set[str] = field(default_factory=set)
    _threads: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Begin to ask."""
        asks = [self._single] * _SINGLES + [self._batch]
        self._threads = [threading.Thread(target=ask, daemon=True) for ask in asks]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until every thread has noticed that the server is gone."""
        for thread in self._threads:
            thread.join(timeout=60)
            assert not thread.is_alive()

    def _single(self) -> None:
        self._ask("/predict", INCIDENT)

    def _batch(self) -> None:
        self._ask("/predict/batch", [INCIDENT] * _BATCH)

    def _ask(self, path: str, body: object) -> None:
        with httpx.Client(base_url=self.address, timeout=60) as client:
            while True:
                try:
                    answer = client.post(path, json=body)
                except httpx.TransportError:
                    return
                if answer.status_code == 200:
                    document = answer.json()
                    rows = document.get("predictions", [document])
                    with self._lock:
                        self.acknowledged.update(row["prediction_id"] for row in rows)


def killed_under_load(bundle: Path, settings: Settings, seconds: float) -> set[str]:
    """Serve, ask from several threads, kill -9 so long after the first few answers.

    Returns what was acknowledged.
    """
    running = Served(bundle, settings)
    load = Load(running.address)
    load.start()
    end = time.monotonic() + 60
    while len(load.acknowledged) < _FEWEST:
        assert time.monotonic() < end, running.errors
        time.sleep(0.005)
    time.sleep(seconds)
    running.kill()
    load.join()
    return load.acknowledged


def missing(settings: Settings, acknowledged: set[str]) -> set[str]:
    """Return the identifiers that are not in the log."""
    database = open_database(settings)
    try:
        with database.reading() as connection:
            rows = connection.exec_driver_sql("SELECT id FROM prediction")
            return acknowledged - {row[0] for row in rows}
    finally:
        database.close()
