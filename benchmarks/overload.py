"""What a server does that is asked ten times as much as it can answer.

    python -m benchmarks.overload BUNDLE [seconds] [workers]

First what it can do: 32 callers that wait for their answers, for five seconds. Then a load of
its own process sends ten times as much a second over 512 connections, whatever the server
does (benchmarks/openloop.py); what this machine cannot send is told. Meanwhile /livez and
/metrics are asked ten times a second, each on a new connection, and resident memory is
read. Afterwards one caller asks until fifty answers in a row are as quick as they were before.
Load, probes and server share the cores of one machine, so all figures contain their quarrel.

It fails if p99 of what was answered is not below 250 ms, that of /livez not below 50 ms, anything
was answered but 200 and 503, or it is not as before within five seconds.
"""

from __future__ import annotations

import datetime as dt
import http.client
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.delivery.load import INCIDENT
from tests.faults.served import Served, served

from benchmarks.openloop import spread
from benchmarks.startup import resident
from crimeguard.settings import Settings

TIMES = 10
CONNECTIONS = 512
PROBES = ("/livez", "/metrics")
TARGETS = {"answered p99": 0.250, "/livez p99": 0.050, "normal after": 5.0}


def main() -> None:
    bundle = Path(sys.argv[1])
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    workers = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    day = dt.datetime.now(dt.UTC).date()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, CPython {platform.python_version()}, {day}"
    )
    with tempfile.TemporaryDirectory() as home:
        settings = replace(Settings.load(), home=Path(home), workers=workers)
        with served(bundle, settings) as running:
            found = overloaded(running, seconds)
    late = [f"{name} {found[name]:.3f} s" for name, most in TARGETS.items() if found[name] > most]
    if late or found["others"]:
        print("not as it should be: " + ", ".join([*late, *found["others"]]))
        raise SystemExit(1)


def overloaded(running: Served, seconds: float) -> dict[str, Any]:
    """Load the server as described, print what happens, and return the figures."""
    usual, capacity = alone(running), closed(running)
    print(f"alone: p50 {usual * 1e3:.1f} ms; capacity with 32 callers: {capacity:,.0f} a second")
    before = _memory(running)
    probes, stop = Probes(running), threading.Event()
    threads = [threading.Thread(target=probes.ask, args=(path, stop)) for path in PROBES]
    for thread in threads:
        thread.start()
    load = openloop(running, capacity * TIMES, seconds)
    stop.set()
    normal = back_to_normal(running, usual)
    for thread in threads:
        thread.join()
    print(f"sent {load['sent'] / seconds:,.0f} a second ({load['sent'] / seconds / capacity:.1f} "
          f"times the capacity), not sent for want of a free connection {load['unsent']:,}, "
          f"lost {load['lost']}")  # fmt: skip
    for status, found in load["answers"].items():
        share = found["number"] / max(1, load["sent"])
        print(f"  {status}: {share:.1%}, {found['number'] / seconds:,.0f} a second; {_ms(found)}")
    for path in PROBES:
        print(f"  {path}: {_ms(spread(probes.latencies[path]))}, failed {probes.failed[path]}")
    print(f"resident: before {before / 1e6:.0f} MB, most {probes.largest / 1e6:.0f} MB, "
          f"after {_memory(running) / 1e6:.0f} MB; as before after {normal:.1f} s")  # fmt: skip
    return {
        "answered p99": load["answers"].get("200", {"p99": 99.0})["p99"],
        "/livez p99": spread(probes.latencies["/livez"])["p99"], "normal after": normal,
        "others": [status for status in load["answers"] if status not in ("200", "503")],
    }  # fmt: skip


class Probes:
    """Asks beside the load, on a new connection every time."""

    def __init__(self, running: Served) -> None:
        self.latencies: dict[str, list[float]] = {path: [] for path in PROBES}
        self.failed = dict.fromkeys(PROBES, 0)
        self.largest = 0
        self._running = running

    def ask(self, path: str, stop: threading.Event) -> None:
        """Ask ten times a second until told to stop."""
        while not stop.wait(0.1):
            began = time.perf_counter()
            status = _ask(self._running, "GET", path)
            self.latencies[path].append(time.perf_counter() - began)
            self.failed[path] += status != http.client.OK
            self.largest = max(self.largest, _memory(self._running))


def alone(running: Served, times: int = 200) -> float:
    """Return the median time of one caller on a connection that is kept."""
    return spread([took for took, _ in _asked(running, times)])["p50"]


def closed(running: Served, seconds: float = 5.0, callers: int = 32) -> float:
    """Return how many requests a second are answered to callers who wait."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "predict.lua"
        script.write_text(
            'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
            f"wrk.body = [[{INCIDENT}]]\n"
        )
        command = ["wrk", "-t1", f"-c{callers}", f"-d{seconds:.0f}s", "-s", str(script),
                   f"{running.address}/predict"]  # fmt: skip
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    line = next(line for line in said.splitlines() if "Requests/sec" in line)
    return float(line.split()[1])


def openloop(running: Served, rate: float, seconds: float) -> dict[str, Any]:
    """Send from another process; return its summary."""
    url = urlsplit(running.address)
    command = [sys.executable, "-m", "benchmarks.openloop", str(url.hostname), str(url.port),
               str(rate), str(seconds), str(CONNECTIONS)]  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def back_to_normal(running: Served, usual: float) -> float:
    """Return the seconds until 50 answers in a row came within twice the usual time."""
    began = time.perf_counter()
    good, since = 0, began
    while good < 50:
        if time.perf_counter() - began > 60:
            return 60.0
        ((took, status),) = _asked(running, 1)
        fine = status == http.client.OK and took < max(2 * usual, 0.02)
        if fine and not good:
            since = time.perf_counter()
        good = good + 1 if fine else 0
    return since - began


def _asked(running: Served, times: int) -> list[tuple[float, int]]:
    connection = http.client.HTTPConnection(urlsplit(running.address).netloc, timeout=30)
    found = []
    for _ in range(times):
        began = time.perf_counter()
        connection.request("POST", "/predict", INCIDENT, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        found.append((time.perf_counter() - began, answer.status))
    connection.close()
    return found


def _ask(running: Served, method: str, path: str) -> int:
    connection = http.client.HTTPConnection(urlsplit(running.address).netloc, timeout=30)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        answer.read()
    except OSError:
        return 0
    finally:
        connection.close()
    return answer.status


def _memory(running: Served) -> int:
    return sum(size for _, size in resident(running.process.pid))


def _ms(found: dict[str, float]) -> str:
    names = ("p50", "p95", "p99", "largest")
    return ", ".join(f"{name} {found[name] * 1e3:.1f} ms" for name in names if name in found)


if __name__ == "__main__":
    main()
