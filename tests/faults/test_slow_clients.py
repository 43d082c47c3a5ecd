"""Clients that take their time, or take all places: the others do not notice."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest

from crimeguard.settings import Settings
from tests.faults.raw import PREDICT, answer, asked, connect, is_closed, request
from tests.faults.served import INCIDENT, Served, missing, served

SECONDS = 1.0
PLACES = 8
ROWS = 8_000  # of a batch whose answer is more than the kernel keeps


@pytest.fixture(scope="module")
def running(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One that waits for its clients for a second."""
    settings = Settings(home=tmp_path_factory.mktemp("slow"), body_seconds=SECONDS)
    with served(tiny_bundle, settings) as running:
        yield running
    assert running.process.returncode == 0
    assert "Traceback" not in running.errors


@pytest.fixture
def client(running: Served) -> Iterator[socket.socket]:
    with closing(connect(running.address)) as client:
        yield client


def drip(client: socket.socket, data: bytes, stop: threading.Event) -> None:
    """Send a byte ten times a second."""
    for place in range(len(data)):
        if stop.wait(0.1):
            return
        try:
            client.sendall(data[place : place + 1])
        except OSError:
            return


def slowly(client: socket.socket, data: bytes) -> tuple[int, bytes]:
    """Send byte by byte, and return what is answered meanwhile."""
    stop = threading.Event()
    thread = threading.Thread(target=drip, args=(client, data, stop))
    thread.start()
    try:
        status, headers, body = answer(client)
    finally:
        stop.set()
        thread.join()
    if status:
        assert headers["connection"] == "close"
    return status, body


def test_a_body_that_comes_byte_by_byte(running: Served, client: socket.socket) -> None:
    head, _, body = PREDICT.partition(b"\r\n\r\n")
    client.sendall(head + b"\r\n\r\n")
    status, text = slowly(client, body)
    assert status == 408
    problem = json.loads(text)
    assert problem["type"] == "/docs#problem-too-slow"
    assert len(problem["request_id"]) == 32
    assert is_closed(client)
    assert httpx.post(f"{running.address}/predict", json=INCIDENT).status_code == 200


@pytest.mark.parametrize("path", ["/predict/batch", "/labels", "/v2/models/crimeguard/infer"])
def test_a_body_that_does_not_come(client: socket.socket, path: str) -> None:
    client.sendall(request(path, [INCIDENT], announced=500))
    assert answer(client)[0] == 408


def test_a_file_that_does_not_come(client: socket.socket) -> None:
    head = (
        "POST /predict/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
    )
    client.sendall(head.encode())
    assert answer(client)[0] == 408


def test_a_body_in_two_parts_is_read(client: socket.socket) -> None:
    half = len(PREDICT) - 20
    for _ in range(3):
        client.sendall(PREDICT[:half])
        time.sleep(0.2)
        assert asked(client, PREDICT[half:]) == 200


@pytest.mark.parametrize("before", [b"", PREDICT])
def test_a_header_that_comes_byte_by_byte(client: socket.socket, before: bytes) -> None:
    if before:
        assert asked(client, before) == 200
    status, text = slowly(client, PREDICT)
    assert status == 408
    assert json.loads(text)["type"] == "/docs#problem-too-slow"


def test_who_connects_and_says_nothing(client: socket.socket) -> None:
    assert is_closed(client)


def test_who_goes_on_sending_what_was_refused_long_ago(client: socket.socket) -> None:
    client.sendall(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
    assert answer(client)[0] == 404
    stop = threading.Event()
    thread = threading.Thread(target=drip, args=(client, b"x" * 100_000, stop))
    thread.start()
    assert is_closed(client)
    stop.set()
    thread.join()


def test_a_header_without_an_end(client: socket.socket) -> None:
    def send() -> None:
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
        while True:
            client.sendall(b"X-A: " + b"a" * 8_000 + b"\r\n")

    with pytest.raises(ConnectionError):
        send()


@pytest.mark.parametrize(("size", "status"), [(8_000, 200), (200_000, 431)])
def test_a_long_header_is_refused_and_a_usual_one_is_not(
    client: socket.socket, size: int, status: int
) -> None:
    client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * (size // 2))
    time.sleep(0.2)
    client.sendall(b"a" * (size // 2))
    assert asked(client, b"\r\n\r\n") == status


def test_who_never_reads_a_long_answer(running: Served) -> None:
    with closing(connect(running.address, receives=4_096)) as client:
        client.sendall(request("/predict/batch", [INCIDENT] * ROWS))
        first = client.recv(100)
        assert first.startswith(b"HTTP/1.1 200")
        # Nothing more is read; the server gives up, which only a later look can tell.
        _until_forgotten(running)
        # What the kernel had taken still comes, but never the end.
        assert not _drained(client).endswith(b"\r\n0\r\n\r\n")


def test_who_reads_a_long_answer_slowly_gets_all_of_it(running: Served) -> None:
    with closing(connect(running.address, receives=65_536)) as client:
        client.sendall(request("/predict/batch", [INCIDENT] * ROWS))
        got = b""
        while not got.endswith(b"\r\n0\r\n\r\n"):
            more = client.recv(65_536)
            assert more
            got += more
            time.sleep(0.01)
        assert got.count(b"prediction_id") == ROWS


def _drained(client: socket.socket) -> bytes:
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while more := client.recv(65_536):
            got += more
    return got


def _until_forgotten(running: Served) -> None:
    """Wait until the server has no request but the one that asks."""
    end = time.monotonic() + 60
    while "requests_in_progress 1.0" not in httpx.get(f"{running.address}/metrics").text:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_when_all_places_are_taken_probes_still_get_through(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, max_connections=PLACES)
    with served(tiny_bundle, settings) as running, ExitStack() as stack:
        held = [stack.enter_context(closing(connect(running.address))) for _ in range(PLACES)]
        assert [asked(client) for client in held] == [200] * PLACES
        for _ in range(3):
            with closing(connect(running.address)) as late:
                late.sendall(PREDICT)
                status, headers, body = answer(late)
                assert status == 503
                assert json.loads(body)["type"] == "/docs#problem-busy"
                assert int(headers["retry-after"]) > 0
                assert headers["x-content-type-options"] == "nosniff"
                assert json.loads(body)["request_id"] == headers["x-request-id"]
                assert is_closed(late)
            for path in ("/livez", "/readyz", "/health", "/metrics"):
                with closing(connect(running.address)) as probe:
                    assert asked(probe, request(path)) == 200
        # Those who have a place keep it, and a place that is given back is taken.
        assert [asked(client) for client in held] == [200] * PLACES
        held[0].close()
        end = time.monotonic() + 60
        while True:
            with closing(connect(running.address)) as next_one:
                if asked(next_one) == 200:
                    break
            assert time.monotonic() < end
        counted = httpx.get(f"{running.address}/metrics").text
        assert 'requests_total{method="POST",route="/predict",status="503"}' in counted
    assert running.process.returncode == 0


def test_a_crowd_of_silent_ones_does_not_keep_a_probe_out(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, max_connections=PLACES)
    with served(tiny_bundle, settings) as running, ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(closing(connect(running.address)))
        with closing(connect(running.address)) as probe:
            assert asked(probe, request("/livez")) == 200
        identifier = httpx.get(f"{running.address}/livez").headers["x-request-id"]
        assert identifier
    assert missing(settings, set()) == set()
