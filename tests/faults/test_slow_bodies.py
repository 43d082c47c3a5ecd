"""Batches whose body comes slowly: whole, or refused; never a part that is taken for the whole."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from crimeguard.settings import Settings
from tests.faults.raw import answer, connect, is_closed
from tests.faults.served import Served, served

SECONDS = 1.0
ROWS = 40
LINES = b"DATE OCC,TIME OCC,AREA\n" + b"01/02/2023,30,3\n" * ROWS
LIST = b"[" + b",".join([b'{"date_occ":"2023-01-02","area":3}'] * ROWS) + b"]"
FORM = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="x.csv"\r\n'
    b"Content-Type: text/csv\r\n\r\n" + LINES + b"\r\n--x--\r\n"
)
BODIES = {
    "text/csv": LINES, "application/json": LIST, "multipart/form-data; boundary=x": FORM,
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bodies")


@pytest.fixture(scope="module")
def running(tiny_bundle: Path, home: Path) -> Iterator[Served]:
    """One that waits for a body for a second."""
    with served(tiny_bundle, Settings(home=home, body_seconds=SECONDS)) as running:
        yield running
    assert running.process.returncode == 0
    assert "Traceback" not in running.errors


@pytest.fixture
def client(running: Served) -> Iterator[socket.socket]:
    with closing(connect(running.address)) as client:
        yield client


def head(kind: str, length: int | None) -> bytes:
    """Write the header of a batch: of a known length, or in chunks."""
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    lines = ("POST /predict/batch HTTP/1.1", "Host: x", f"Content-Type: {kind}", size, "", "")
    return "\r\n".join(lines).encode()


def framed(part: bytes, *, chunked: bool) -> bytes:
    return b"%x\r\n%s\r\n" % (len(part), part) if chunked else part


def logged(home: Path) -> int:
    with closing(sqlite3.connect(home / "records.db")) as records:
        return int(records.execute("SELECT count(*) FROM prediction").fetchone()[0])


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("kind", BODIES)
def test_what_comes_in_part_only_is_refused_and_nothing_of_it_is_predicted(
    client: socket.socket, home: Path, kind: str, chunked: bool
) -> None:
    before, body = logged(home), BODIES[kind]
    # Of lines, what has come so far is a table by itself; of a list it all came but the end.
    part = body[: body.rindex(b"01/02")] if b"01/02" in body else body[:-1]
    client.sendall(head(kind, None if chunked else len(body)) + framed(part, chunked=chunked))
    status, headers, text = answer(client)
    assert status == 408
    assert headers["connection"] == "close"
    assert json.loads(text)["type"] == "/docs#problem-too-slow"
    assert is_closed(client)
    assert logged(home) == before


@pytest.mark.parametrize("kind", BODIES)
def test_a_whole_body_without_its_end_is_not_taken_for_whole(
    client: socket.socket, home: Path, kind: str
) -> None:
    before = logged(home)
    client.sendall(head(kind, None) + framed(BODIES[kind], chunked=True))
    assert answer(client)[0] == 408
    assert logged(home) == before


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("kind", BODIES)
def test_who_ends_in_the_middle_is_not_answered(
    client: socket.socket, home: Path, kind: str, chunked: bool
) -> None:
    before, body = logged(home), BODIES[kind]
    length = None if chunked else len(body) + 1
    client.sendall(head(kind, length) + framed(body, chunked=chunked))
    client.shutdown(socket.SHUT_WR)
    assert answer(client)[0] != 200
    assert is_closed(client)
    assert logged(home) == before


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("kind", BODIES)
def test_what_comes_in_parts_and_in_time_is_answered_as_a_whole(
    client: socket.socket, kind: str, chunked: bool
) -> None:
    body = BODIES[kind]
    client.sendall(head(kind, None if chunked else len(body)))
    for place in range(0, len(body), len(body) // 3):
        time.sleep(0.05)
        client.sendall(framed(body[place : place + len(body) // 3], chunked=chunked))
    if chunked:
        client.sendall(b"0\r\n\r\n")
    assert rows_answered(client) == ROWS


def test_a_body_that_came_in_time_may_take_longer_than_that_to_answer(
    client: socket.socket, home: Path
) -> None:
    with held_up(home):
        client.sendall(head("text/csv", len(LINES)) + LINES)
        time.sleep(3 * SECONDS)
        assert select.select([client], [], [], 0)[0] == []
    assert rows_answered(client) == ROWS


@contextlib.contextmanager
def held_up(home: Path) -> Iterator[None]:
    """Keep the log from being written: nothing is answered meanwhile."""
    with closing(sqlite3.connect(home / "records.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def rows_answered(client: socket.socket) -> int:
    """Read an answer in chunks to its end, and return how many rows it has."""
    got = b""
    while not got.endswith(b"\r\n0\r\n\r\n"):
        more = client.recv(65_536)
        assert more, got
        got += more
    assert got.startswith(b"HTTP/1.1 200"), got
    return got.count(b"prediction_id")
