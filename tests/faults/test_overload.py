"""Far more is asked than can be answered: what is answered is right, the rest is told at once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from crimeguard.settings import Settings
from tests.faults.raw import PREDICT, answer, connect, request
from tests.faults.served import INCIDENT, Served, missing, served

CALLERS = 24
SECONDS = 4.0


class Flood:
    """Callers that send many requests at once and again, as long as told."""

    def __init__(self, running: Served) -> None:
        self.statuses: Counter[int] = Counter()
        self.acknowledged: set[str] = set()
        self.without_advice = 0
        self._running = running
        self._stop = threading.Event()
        self._lock = threading.Lock()

    def run(self) -> None:
        """Ask from many threads for some seconds."""
        threads = [threading.Thread(target=self._ask) for _ in range(CALLERS)]
        for thread in threads:
            thread.start()
        self._probe()
        self._stop.set()
        for thread in threads:
            thread.join()

    def _probe(self) -> None:
        timer = threading.Event()
        with httpx.Client(base_url=self._running.address, timeout=60) as client:
            for _ in range(int(SECONDS / 0.1)):
                assert client.get("/livez").status_code == 200
                assert client.get("/metrics").status_code == 200
                timer.wait(0.1)

    def _ask(self) -> None:
        clients = [connect(self._running.address) for _ in range(12)]
        while not self._stop.is_set():
            for client in clients:
                client.sendall(PREDICT)
            for client in clients:
                self._note(*answer(client))
        for client in clients:
            client.close()

    def _note(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        with self._lock:
            self.statuses[status] += 1
            if status == 200:
                self.acknowledged.add(httpx.Response(200, content=body).json()["prediction_id"])
            elif status == 503 and int(headers.get("retry-after", "0")) < 1:
                self.without_advice += 1


@pytest.mark.slow
def test_what_is_too_much_is_told_and_what_is_answered_is_in_the_log(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, max_waiting=8)
    with served(tiny_bundle, settings) as running:
        flood = Flood(running)
        flood.run()
        assert set(flood.statuses) <= {200, 503, 504}
        assert flood.statuses[200] > 20
        assert flood.statuses[503] > 20
        assert flood.without_advice == 0
        for _ in range(50):
            assert httpx.post(f"{running.address}/predict", json=INCIDENT).status_code == 200
    assert running.process.returncode == 0
    assert "Traceback" not in running.errors
    assert missing(settings, flood.acknowledged) == set()


def test_a_load_that_can_be_borne_is_answered(tiny_bundle: Path, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with served(tiny_bundle, settings) as running:
        clients = [connect(running.address) for _ in range(8)]
        for _ in range(10):
            for client in clients:
                client.sendall(PREDICT)
            assert [answer(client)[0] for client in clients] == [200] * 8
        for client in clients:
            client.close()


def test_requests_behind_each_other_on_one_connection_are_all_answered(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    number = 3_000  # more than calls may be nested
    with (
        served(tiny_bundle, Settings(home=tmp_path)) as running,
        closing(connect(running.address)) as client,
    ):
        sender = threading.Thread(target=client.sendall, args=(request("/livez") * number,))
        sender.start()
        got = b""
        while got.count(b"HTTP/1.1 200") < number and (more := client.recv(65_536)):
            got += more
        sender.join()
    assert got.count(b"HTTP/1.1 200") == number
