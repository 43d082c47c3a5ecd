"""Asks an API for predictions from several threads until its standard input is closed.

    python tests/delivery/load.py ADDRESS THREADS

Imports nothing but the standard library, since it runs inside another network namespace.
Every thread keeps its connection, as the console does. The key is CRIMEGUARD_API_KEY.
Writes one JSON document: how many answers by which model, what failed, and times.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import threading
import time
from collections import Counter
from typing import Any, Final
from urllib.parse import urlsplit

INCIDENT: Final = json.dumps({"date_occ": "2023-03-10", "time_occ": 2130, "area": 12,
                              "vict_age": 34})  # fmt: skip
_PAUSE: Final = 0.01  # s between a thread's requests: the machine has other things to do


class Load:
    """What the threads have met with so far."""

    def __init__(self, address: str) -> None:
        self._host = str(urlsplit(address).netloc)
        self._headers = {"Content-Type": "application/json",
                         "X-API-Key": os.environ.get("CRIMEGUARD_API_KEY", "")}  # fmt: skip
        self._lock = threading.Lock()
        self.stopped = threading.Event()
        self.models: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.seconds: list[float] = []

    def ask(self) -> None:
        """Ask until stopped."""
        connection = http.client.HTTPConnection(self._host, timeout=40)
        while not self.stopped.is_set():
            began = time.perf_counter()
            model, failure = self._asked(connection)
            took = time.perf_counter() - began
            with self._lock:
                self.seconds.append(took)
                if failure:
                    self.failures[failure] += 1
                else:
                    self.models[model] += 1
            time.sleep(_PAUSE)
        connection.close()

    def report(self) -> dict[str, Any]:
        """Return everything, in milliseconds."""
        times = sorted(1000 * taken for taken in self.seconds)
        return {
            "requests": len(times), "models": self.models, "failures": self.failures,
            "p50_ms": round(_share(times, 0.5), 1), "p99_ms": round(_share(times, 0.99), 1),
            "max_ms": round(times[-1] if times else 0.0, 1),
        }  # fmt: skip

    def _asked(self, connection: http.client.HTTPConnection) -> tuple[str, str]:
        try:
            connection.request("POST", "/predict", INCIDENT, self._headers)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return "", f"{type(error).__name__}: {error}"
        if answer.status != http.client.OK:
            return "", f"{answer.status} {body[:200].decode(errors='replace')}"
        return str(json.loads(body)["model_info"]["sha256"]), ""


def _share(times: list[float], share: float) -> float:
    return times[int(share * (len(times) - 1))] if times else 0.0


def main() -> None:
    load = Load(sys.argv[1])
    threads = [threading.Thread(target=load.ask) for _ in range(int(sys.argv[2]))]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    load.stopped.set()
    for thread in threads:
        thread.join()
    json.dump(load.report(), sys.stdout)


if __name__ == "__main__":
    main()
