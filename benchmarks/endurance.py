"""Whether a server grows with the requests that it has answered.

    python -m benchmarks.endurance BUNDLE [requests] [workers]

Asks 100,000 times: eight connections for single incidents, every hundredth request a batch of
50, every fiftieth one that is refused, every tenth on a connection of its own. After every
tenth part it prints resident memory, open descriptors and threads of the process that
answers. It fails if memory at the end is more than a tenth above that after the first fifth
(by then caches and pools are full), or if there are more descriptors or threads.
"""

from __future__ import annotations

import datetime as dt
import http.client
import json
import os
import platform
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from tests.faults.served import INCIDENT, Served, served

from benchmarks.startup import resident
from crimeguard.settings import Settings

CALLERS = 8
STEPS = 10
ALLOWED = 1.1
SPARE_THREADS = 4  # of pools that come and go with the work
SINGLE = json.dumps(INCIDENT)
BATCH = json.dumps([INCIDENT] * 50)
REFUSED = json.dumps({"area": "none"})


def main() -> None:
    bundle = Path(sys.argv[1])
    requests = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    workers = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    day = dt.datetime.now(dt.UTC).date()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, CPython {platform.python_version()}, {day}"
    )
    print("| requests | resident, MB | descriptors | threads | requests/s |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as home:
        settings = replace(Settings.load(), home=Path(home), workers=workers)
        with served(bundle, settings) as running:
            rows = []
            for step in range(STEPS):
                seconds = asked(running, requests // STEPS)
                time.sleep(6)  # connections that idle are closed after five seconds
                rows.append(size(running))
                memory, descriptors, threads = rows[-1]
                print(f"| {requests // STEPS * (step + 1):,} | {memory / 1e6:.1f} | {descriptors} "
                      f"| {threads} | {requests / STEPS / seconds:,.0f} |", flush=True)  # fmt: skip
    first, last = rows[1], rows[-1]
    threads = max(row[2] for row in rows[:2]) + SPARE_THREADS
    if last[0] > first[0] * ALLOWED or last[1] > first[1] or last[2] > threads:
        raise SystemExit("it grows")


def asked(running: Served, requests: int) -> float:
    """Ask so many times from several threads; return the seconds that it took."""
    host = urlsplit(running.address).netloc
    began = time.perf_counter()
    threads = [
        threading.Thread(target=ask, args=(host, requests // CALLERS)) for _ in range(CALLERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def ask(host: str, requests: int) -> None:
    """Ask over one connection, now and then over another."""
    kept = http.client.HTTPConnection(host, timeout=60)
    for number in range(requests):
        path, body, expected = "/predict", SINGLE, http.client.OK
        if number % 100 == 0:
            path, body = "/predict/batch", BATCH
        elif number % 50 == 1:
            body, expected = REFUSED, http.client.UNPROCESSABLE_ENTITY
        own = number % 10 == 0
        connection = http.client.HTTPConnection(host, timeout=60) if own else kept
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        if answer.status not in (expected, http.client.SERVICE_UNAVAILABLE):
            raise SystemExit(f"{path} was answered with {answer.status}")
        if own:
            connection.close()
    kept.close()


def size(running: Served) -> tuple[int, int, int]:
    """Return memory, descriptors and threads of all processes of a server."""
    pid = running.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    folders = [Path("/proc") / child for child in (str(pid), *children)]
    descriptors = sum(len(list((folder / "fd").iterdir())) for folder in folders)
    threads = sum(len(list((folder / "task").iterdir())) for folder in folders)
    return sum(found for _, found in resident(pid)), descriptors, threads


if __name__ == "__main__":
    main()
