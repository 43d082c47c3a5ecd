"""How long a server takes to be ready, and what it keeps in memory.

    python -m benchmarks.startup BUNDLE [times]

Starts `crimeguard serve --bundle BUNDLE` on a database that is there already, and asks
/readyz without pause until it answers 200: the time from the start of the program. Then
the resident memory of the process that answers, when it is ready and after 1,000 requests,
with one worker and with two; beside them what the supervisor of two takes. The program
fails above 3 seconds (the quickest of all starts: a busy machine can only be slower) or 400 MB
a worker.
"""

from __future__ import annotations

import datetime as dt
import http.client
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from tests.delivery.load import INCIDENT
from tests.monitor.test_channels import free_port

from crimeguard.records.database import open_database
from crimeguard.serve.supervisor import environment
from crimeguard.settings import Settings

REQUESTS = 1_000
MOST_SECONDS = 3.0
MOST_BYTES = 400_000_000


def main() -> None:
    bundle = Path(sys.argv[1]).resolve()
    times = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    day = dt.datetime.now(dt.UTC).date()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, CPython {platform.python_version()}, {day}"
    )
    quickest, largest = 60.0, 0
    with tempfile.TemporaryDirectory() as home:
        settings = replace(Settings.load(), home=Path(home), bundle=str(bundle))
        open_database(settings).close()
        for workers in (1, 2):
            for _ in range(times):
                ready, sizes = started(replace(settings, workers=workers, port=free_port()))
                shown = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in sizes)
                print(f"{workers} worker(s): ready after {ready:.2f} s; resident {shown}")
                quickest = min(quickest, ready) if workers == 1 else quickest
                largest = max(largest, *(size for name, size in sizes if name.startswith("worker")))
    print(f"quickest start {quickest:.2f} s, largest worker {largest / 1e6:.0f} MB")
    if quickest > MOST_SECONDS or largest > MOST_BYTES:
        raise SystemExit(1)


def started(settings: Settings) -> tuple[float, list[tuple[str, int]]]:
    """Start a server; return the seconds until it was ready, and what its processes keep."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "crimeguard", "serve"], env=environment(settings),
        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not _is_ready(settings.port):
            if process.poll() is not None:
                raise SystemExit("the server ended by itself")
            time.sleep(0.005)
        ready = time.perf_counter() - began
        if settings.workers > 1:
            time.sleep(2)  # the other one comes up a little later
        sizes = [(f"{name} ready", size) for name, size in resident(process.pid)]
        with closing(http.client.HTTPConnection("127.0.0.1", settings.port)) as connection:
            for _ in range(REQUESTS):
                connection.request(
                    "POST", "/predict", INCIDENT, {"Content-Type": "application/json"}
                )
                connection.getresponse().read()
        sizes += [(f"{name} after {REQUESTS:,} requests", size)
                  for name, size in resident(process.pid)]  # fmt: skip
        return ready, sizes
    finally:
        process.terminate()
        process.wait(timeout=60)


def resident(pid: int) -> list[tuple[str, int]]:
    """Return the resident bytes of a server's processes."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    named = [("worker", pid)] if not children else [
        ("supervisor", pid), *((f"worker {place}", int(child)) for place, child in
                               enumerate(children))
    ]  # fmt: skip
    return [(name, resident_bytes(number)) for name, number in named]


def resident_bytes(pid: int) -> int:
    """Return the resident memory of one process."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024 if found else 0


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    main()
