"""What callers lose who are in the middle of asking when the API is told to end.

    python -m benchmarks.leaving BUNDLE [times] [workers]

Eight callers ask the API itself, with no balancer between that could try again: either over
a connection that each keeps, or over a new one for every request. Beside them a balancer
looks at /readyz ten times a second; once it is refused, callers open no new connection.
Then SIGTERM. A request that was sent and got no answer is lost. With CRIMEGUARD_DRAIN_SECONDS
of 0 the API closes at once, with 1 it sends its callers away first, and the program fails
if a request is lost.
"""

from __future__ import annotations

import datetime as dt
import http.client
import os
import platform
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from tests.delivery.load import INCIDENT
from tests.faults.served import served

from crimeguard.settings import Settings

CALLERS = 8


def main() -> None:
    bundle = Path(sys.argv[1])
    times = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    workers = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    day = dt.datetime.now(dt.UTC).date()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, CPython {platform.python_version()}, {day}"
    )
    for drain in ("", "1"):
        os.environ["CRIMEGUARD_DRAIN_SECONDS"] = drain
        lost = 0
        for kept in (True, False):
            met: Counter[str] = Counter()
            for _ in range(times):
                met += told_to_end(bundle, kept=kept, workers=workers)
            how = "kept connections" if kept else "new connections"
            print(f"{workers} worker(s), drain {drain or 0} s, {how}, "
                  f"{times} times {CALLERS} callers: "
                  f"{met['answered']:,} answered, {met['lost']} lost")  # fmt: skip
            lost += met["lost"]
    if lost:  # by those who were sent away first
        raise SystemExit(1)


def told_to_end(bundle: Path, *, kept: bool, workers: int) -> Counter[str]:
    """Start an API, ask, tell it to end; return how many requests were answered and lost."""
    met: Counter[str] = Counter()
    with (
        tempfile.TemporaryDirectory() as home,
        served(bundle, replace(Settings.load(), home=Path(home), workers=workers)) as running,
    ):
        host = urlsplit(running.address).netloc
        away = threading.Event()
        threads = [threading.Thread(target=_balance, args=(host, away))]
        threads += [
            threading.Thread(target=_ask, args=(host, kept, away, met)) for _ in range(CALLERS)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.7)
        running.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
    return met


def _balance(host: str, away: threading.Event) -> None:
    while not away.is_set():
        connection = http.client.HTTPConnection(host, timeout=3)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status != http.client.OK:
                away.set()
        except (OSError, http.client.HTTPException):
            away.set()
        finally:
            connection.close()
        time.sleep(0.1)


def _ask(host: str, kept: bool, away: threading.Event, met: Counter[str]) -> None:
    connection = http.client.HTTPConnection(host, timeout=30)
    while _connected(connection, kept, away):
        try:
            connection.request("POST", "/predict", INCIDENT, {"Content-Type": "application/json"})
            connection.getresponse().read()
            met["answered"] += 1
        except (OSError, http.client.HTTPException):
            met["lost"] += 1
            connection.close()
        time.sleep(0.01)
    connection.close()


def _connected(connection: http.client.HTTPConnection, kept: bool, away: threading.Event) -> bool:
    """Whether there is a connection to ask over, made anew unless it is `kept`."""
    if kept and connection.sock is not None:
        return True
    connection.close()
    if away.is_set():
        return False
    try:
        connection.connect()
    except OSError:
        return False  # refused: a balancer asks the next server
    return True


if __name__ == "__main__":
    main()
