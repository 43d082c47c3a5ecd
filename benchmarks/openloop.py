"""A load that does not wait for answers: so many requests a second, whatever the server does.

    python -m benchmarks.openloop HOST PORT RATE SECONDS CONNECTIONS

Every millisecond it sends what is due over connections that are free; what finds none free
is not sent, and counted. It prints JSON: for each status how many answers there were and
their latencies in seconds (p50, p95, p99, largest), from the moment of sending.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from typing import Any, cast

import uvloop
from tests.faults.raw import PREDICT

_TICK = 0.001


class Load:
    """What was sent and what came back."""

    def __init__(self) -> None:
        self.free: deque[Caller] = deque()
        self.latencies: dict[int, list[float]] = {}
        self.sent = 0
        self.unsent = 0
        self.lost = 0

    def summary(self, seconds: float) -> dict[str, Any]:
        """Return the figures."""
        answers = {str(status): spread(found) for status, found in sorted(self.latencies.items())}
        return {"seconds": seconds, "sent": self.sent, "unsent": self.unsent, "lost": self.lost,
                "answers": answers}  # fmt: skip


class Caller(asyncio.Protocol):
    """One connection that asks one thing at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._sent_at: float | None = None
        self._got = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be free to ask."""
        self._transport = cast("asyncio.Transport", transport)
        self._load.free.append(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's
        """Count what was asked and not answered."""
        if self._sent_at is not None:
            self._load.lost += 1
            self._sent_at = None
        self._transport = None

    def ask(self) -> bool:
        """Send, unless the connection is gone."""
        if self._transport is None:
            return False
        self._sent_at = time.perf_counter()
        self._transport.write(PREDICT)
        return True

    def data_received(self, data: bytes) -> None:
        """Read the answer; once it is complete, be free again."""
        self._got += data
        head, end, body = self._got.partition(b"\r\n\r\n")
        if not end:
            return
        at = head.lower().index(b"content-length:") + 15
        length = int(head[at:].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        assert self._sent_at is not None
        took = time.perf_counter() - self._sent_at
        self._sent_at, self._got = None, b""
        self._load.latencies.setdefault(int(head[9:12]), []).append(took)
        self._load.free.append(self)


def spread(found: list[float]) -> dict[str, float]:
    """Return number, quantiles and the largest of some times."""
    found = sorted(found)
    quantiles = {f"p{q}": found[min(len(found) - 1, len(found) * q // 100)] for q in (50, 95, 99)}
    return {"number": len(found), **quantiles, "largest": found[-1]} if found else {"number": 0}


async def run(host: str, port: int, rate: float, seconds: float, connections: int) -> Load:
    loop, load = asyncio.get_running_loop(), Load()
    for _ in range(connections):
        await loop.create_connection(lambda: Caller(load), host, port)
    began = time.perf_counter()
    due = 0
    while (now := time.perf_counter() - began) < seconds:
        wanted = int(now * rate)
        for _ in range(wanted - due):
            send(load)
        due = wanted
        await asyncio.sleep(_TICK)
    end = time.perf_counter() + 10
    while sum(map(len, load.latencies.values())) + load.lost < load.sent:
        if time.perf_counter() > end:
            break
        await asyncio.sleep(0.01)
    return load


def send(load: Load) -> None:
    """Send one request over the connection that has been free for longest."""
    while load.free:
        if load.free.popleft().ask():
            load.sent += 1
            return
    load.unsent += 1


def main() -> None:
    host, port, rate, seconds, connections = sys.argv[1:6]
    load = uvloop.run(run(host, int(port), float(rate), float(seconds), int(connections)))
    sys.stdout.write(json.dumps(load.summary(float(seconds))))


if __name__ == "__main__":
    main()
