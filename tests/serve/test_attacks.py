"""What can be sent over a socket by somebody who means ill, against the real server."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from crimeguard.serve.envelope import SECURITY_HEADERS
from crimeguard.serve.keys import Scope, append_key, make_key
from crimeguard.serve.problem import KINDS
from tests.serve.test_server import Running

BODY = b'{"date_occ":"2023-03-10","area":12}'
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
HIDDEN = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
TYPES = {kind.uri: kind.status for kind in KINDS}
DEEP = b"[" * 200_000 + b"]" * 200_000
TE = b"Transfer-Encoding: chunked"


def post(
    *fields: bytes, body: bytes = BODY, path: bytes = b"/predict", length: bool = True,
    method: bytes = b"POST", host: bytes = b"Host: x",
) -> bytes:  # fmt: skip
    lines = [method + b" " + path + b" HTTP/1.1", host, b"Content-Type: application/json"]
    lines += [b"Content-Length: %d" % len(body)] * length
    return b"\r\n".join([*lines, *fields, b"", b""]) + body


def chunked(*fields: bytes, body: bytes = CHUNKED) -> bytes:
    return post(*fields, body=body, length=False)


def trailed(field: bytes) -> bytes:
    return chunked(TE, body=CHUNKED[:-2] + field + b"\r\n\r\n")


# What could be read in two ways, by us and by a proxy in front, or is no HTTP at all.
REFUSED: dict[str, bytes] = {
    "two lengths": post(b"Content-Length: 5"),
    "the same length twice": post(b"Content-Length: %d" % len(BODY)),
    "a list of lengths": post(b"Content-Length: 35, 35", length=False),
    "a negative length": post(b"Content-Length: -5", length=False),
    "a length with a plus": post(b"Content-Length: +35", length=False),
    "a length in hexadecimal": post(b"Content-Length: 0x23", length=False),
    "a length of two words": post(b"Content-Length: 3 5", length=False),
    "an endless length": post(b"Content-Length: " + b"9" * 30, length=False),
    "a length and chunks": chunked(TE, b"Content-Length: 5"),
    "chunks and a length": post(TE, body=CHUNKED),
    "chunks twice": chunked(TE, TE),
    "chunks, and not at the end": chunked(b"Transfer-Encoding: chunked, identity"),
    "nearly chunks": chunked(b"Transfer-Encoding: xchunked"),
    "a blank before the colon": chunked(b"Transfer-Encoding : chunked"),
    "a folded line": chunked(b"Transfer-Encoding:\r\n chunked"),
    "a folded line elsewhere": post(b"X-Request-ID: a\r\n b"),
    "a length behind the chunks": trailed(b"Content-Length: 3"),
    "a size of a chunk that is none": chunked(TE, body=b"zz\r\nab\r\n0\r\n\r\n"),
    "an endless size of a chunk": chunked(TE, body=b"f" * 18 + b"\r\nab\r\n0\r\n\r\n"),
    "chunks with bare line feeds": chunked(TE, body=CHUNKED.replace(b"\r\n", b"\n")),
    "bare line feeds": post().replace(b"\r\n", b"\n"),
    "a bare line feed": post(b"X-A: b\nX-B: c"),
    "a bare carriage return": post(b"X-A: b\rContent-Length: 3"),
    "a null in a value": post(b"X-A: b\0c"),
    "a null in a name": post(b"X\0A: b"),
    "a null in the path": post(path=b"/pre\0dict"),
    "a blank in the path": post(path=b"/pre dict"),
    "letters beyond ASCII in the path": post(path="/pr\u00e4dict".encode()),
    "a name that is empty": post(b": b"),
    "a field without a colon": post(b"novalue"),
    "a method of our own": post(method=b"FOO"),
    "a method in small letters": post(method=b"post"),
    "the way through to another server": b"CONNECT evil:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "noise": b"\x00\xff\xfe noise\r\n\r\n",
    "an address of 70,000 letters": post(path=b"/predict?" + b"a" * 70_000),
}
# Well-formed requests, and how they are answered; the connection lives on.
ANSWERED: dict[str, tuple[bytes, list[int]]] = {
    "a usual one": (post(), [200]),
    "one in chunks": (chunked(TE), [200]),
    "a field behind the chunks": (trailed(b"Content-Type: text/plain"), [200]),
    "two at once": (post() + post(), [200, 200]),
    "one hidden in a body that is not read": (post(path=b"/nowhere", body=HIDDEN), [404]),
    "one hidden in a body of a GET": (post(path=b"/livez", method=b"GET", body=HIDDEN), [200]),
    "one hidden in a body of the wrong type": (
        post(body=HIDDEN).replace(b"application/json", b"text/plain"), [415]
    ),
    "up and out of the tree": (post(path=b"/../../etc/passwd"), [404]),
    "up, in disguise": (post(path=b"/docs/%2e%2e/%2e%2e/etc/passwd"), [404]),
    "up, with the slash in disguise": (post(path=b"/docs/..%2f..%2fetc%2fpasswd"), [404]),
    "up, disguised twice": (post(path=b"/docs/%252e%252e%252fetc"), [404]),
    "up, with the other slash": (post(path=b"/docs/..%5c..%5cetc"), [404]),
    "a null in disguise": (post(path=b"/predict%00"), [404]),
    "a line's end in disguise": (post(path=b"/predict%0d%0aX-A:b"), [404]),
    "no UTF-8": (post(path=b"/%ff%fe"), [404]),
    "two slashes": (post(path=b"//predict"), [404]),
    "the whole server": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", [404]),
    "a trace": (b"TRACE /predict HTTP/1.1\r\nHost: x\r\n\r\n", [405]),
    "a method that the path has not": (post(method=b"DELETE"), [405]),
    "another method in a field": (post(b"X-HTTP-Method-Override: POST", method=b"PUT"), [405]),
    "another path in a field": (
        post(b"X-Original-URL: /livez", b"X-Rewrite-URL: /livez", path=b"/nowhere"), [404]
    ),
    "a page of another site": (post(b"Origin: http://evil.example"), [200]),
    "a name of another site that leads here": (post(host=b"Host: evil.example:5000"), [421]),
    "a body that is packed": (post(b"Content-Encoding: gzip"), [415]),
    "JSON of 200,000 levels": (post(body=DEEP), [400]),
    "half a letter": (post(body=b'{"area": "\\ud800"}'), [400]),
    "no UTF-8 in the body": (post(body=b'{"area": "\xff"}'), [400]),
    "a name twice": (post(body=b'{"area": 1, "area": 2}'), [400]),
    "NaN": (post(body=b'{"area": NaN}'), [400]),
    "a number of 10,000 digits": (post(body=b'{"area": ' + b"9" * 10_000 + b"}"), [400]),
    "a null in a field": (post(body=b'{"date_occ":"2023-03-10","area":"12\\u0000"}'), [422]),
    "a name of Python's": (post(body=b'{"__class__": 1, "date_occ":"2023-03-10"}'), [422]),
}  # fmt: skip
TOO_LARGE: dict[str, bytes] = {
    "a field of 100,000 bytes": post(b"X-A: " + b"a" * 100_000),
    "a field of 400,000 bytes": post(b"X-A: " + b"a" * 400_000),
    "5,000 fields": post(*(b"X-%d: a" % place for place in range(5_000))),
    "an address of 400,000 letters": post(path=b"/predict?" + b"a" * 400_000),
}
HOSTS: list[tuple[str, int]] = [
    ("localhost", 200), ("localhost:5000", 200), ("LOCALHOST.", 200), ("127.0.0.1:5000", 200),
    ("[::1]:5000", 200), ("backend", 200), ("api.localhost", 200), ("", 200), ("10.0.0.7", 200),
    ("evil.example", 421), ("evil.example:5000", 421), ("localhost.evil.example", 421),
    ("127.0.0.1.evil.example", 421), ("evil.example.", 421), ("a@evil.example", 421),
    ("1.2.3.4.5", 421), ("[evil.example]", 421), ("evil.example/localhost", 421),
]  # fmt: skip


class Answer:
    """One answer as it stands on the wire."""

    def __init__(self, head: bytes, body: bytes) -> None:
        first, *lines = head.decode("ascii").split("\r\n")
        self.status = int(first.split()[1])
        parts = [line.partition(": ") for line in lines]
        self.headers = [(name.lower(), text) for name, _, text in parts]
        self.body = body

    def check(self) -> None:
        """Every answer carries the headers, each once, and every refusal is a problem."""
        found = dict(self.headers)
        assert len(found) == len(self.headers)
        assert {name.lower() for name in SECURITY_HEADERS} <= found.keys()
        assert not [name for name in found if name.startswith("access-control-")]
        assert "server" not in found
        if self.status >= 400:
            assert found["content-type"] == "application/problem+json"
            problem = json.loads(self.body)
            assert problem["status"] == self.status == TYPES[problem["type"]]


def send(address: str, data: bytes) -> list[Answer]:
    """Send bytes and return all that is answered until the server closes."""
    url = urlsplit(address)
    received = b""
    with (
        contextlib.closing(socket.create_connection((url.hostname, url.port), 60)) as client,
        # It may have answered and closed before all was sent.
        contextlib.suppress(BrokenPipeError, ConnectionResetError),
    ):
        client.sendall(data)
        while part := client.recv(65_536):
            received += part
    return answers(received)


def answers(received: bytes) -> list[Answer]:
    found = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        size = re.search(rb"(?i)^content-length: (\d+)", head, re.MULTILINE)
        assert size is not None, head
        found.append(Answer(head, received[: int(size[1])]))
        received = received[int(size[1]) :]
    return found


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("attacked")
    (home / "alias.txt").write_text("1")
    running = Running(home, {"CRIMEGUARD_LOG_FORMAT": "json"})
    running.wait_for("1")
    yield running
    lines = [json.loads(line) for line in running.end().splitlines()]
    # Whatever comes, nothing of ours fails over it.
    assert {line["level"] for line in lines} <= {"INFO", "WARNING"}
    assert "evil.example" not in str(lines)
    assert running.process.returncode == 0


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_http_is_answered_once_and_cut_off(running: Running, name: str) -> None:
    (only,) = send(running.address, REFUSED[name] + LAST)
    assert only.status == 400
    only.check()
    assert dict(only.headers)["connection"] == "close"


@pytest.mark.parametrize("name", ANSWERED)
def test_what_is_http_is_answered_as_often_as_it_asks(running: Running, name: str) -> None:
    data, statuses = ANSWERED[name]
    found = send(running.address, data + LAST)
    assert [each.status for each in found] == [*statuses, 200]
    for each in found:
        each.check()
    assert b"root:" not in b"".join(each.body for each in found)


@pytest.mark.parametrize("name", TOO_LARGE)
def test_a_header_has_its_bounds(running: Running, name: str) -> None:
    found = send(running.address, TOO_LARGE[name])
    for each in found:
        assert each.status == 431
        each.check()
    # Of what is still on its way when the connection is cut the client may hear no more.
    assert found or len(TOO_LARGE[name]) > 300_000


@pytest.mark.parametrize(("host", "status"), HOSTS)
def test_without_keys_no_other_sites_name_is_answered(
    running: Running, host: str, status: int
) -> None:
    (found,) = send(running.address, post(b"Connection: close", host=b"Host: " + host.encode()))
    assert found.status == status


def test_a_secret_in_a_request_that_is_cut_off_is_not_answered(running: Running) -> None:
    (only,) = send(running.address, post(b"X-API-Key: cg_secret", b"Content-Length: 7"))
    assert b"cg_secret" not in only.body


Keyed = tuple[Running, Path, str]


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    """One with the key of the name `first` in a file."""
    home = tmp_path_factory.mktemp("keyed")
    (home / "alias.txt").write_text("1")
    secret, key = make_key("first", [Scope.PREDICT])
    append_key(home / "keys", key)
    running = Running(home, {"CRIMEGUARD_API_KEYS_FILE": str(home / "keys")})
    yield running, home / "keys", secret
    running.end()


def statuses_of(running: Running, data: bytes) -> list[int]:
    return [each.status for each in send(running.address, data)]


def test_with_keys_any_name_is_answered(keyed: Keyed) -> None:
    running, _, secret = keyed
    _until(running, secret, 200)
    shown = b"X-API-Key: " + secret.encode()
    assert statuses_of(running, post(shown, host=b"Host: a.example") + LAST) == [200, 200]


def test_a_key_behind_the_body_is_none(keyed: Keyed) -> None:
    running, _, secret = keyed
    late = trailed(b"X-API-Key: " + secret.encode())
    assert statuses_of(running, late + LAST) == [401, 200]


def test_a_body_that_is_refused_unread_is_no_request(keyed: Keyed) -> None:
    assert statuses_of(keyed[0], post(body=HIDDEN * 100) + LAST) == [401, 200]


def test_a_key_is_replaced_while_requests_go_on(keyed: Keyed) -> None:
    running, file, old = keyed
    _until(running, old, 200)
    new, key = make_key("second", [Scope.PREDICT])
    current, stop = [old], threading.Event()
    statuses: list[int] = []

    def ask() -> None:
        with httpx.Client(base_url=running.address) as client:
            while not stop.is_set():
                shown = {"X-API-Key": current[0]}
                statuses.append(client.get("/model", headers=shown).status_code)

    def a_few_more() -> None:
        seen, end = len(statuses), time.monotonic() + 30
        while len(statuses) < seen + 5:
            assert time.monotonic() < end
            time.sleep(0.01)

    caller = threading.Thread(target=ask)
    caller.start()
    try:
        append_key(file, key)
        _until(running, new, 200)
        current[0] = new
        # A request with the old key may be on its way still.
        a_few_more()
        made = file.with_name("keys.new")
        made.write_text("\n".join(file.read_text().splitlines()[1:]) + "\n")
        made.replace(file)
        _until(running, old, 401)
        a_few_more()
    finally:
        stop.set()
        caller.join()
    assert set(statuses) == {200}


def _until(running: Running, secret: str, status: int) -> None:
    end = time.monotonic() + 30
    headers = {"X-API-Key": secret}
    while httpx.get(f"{running.address}/model", headers=headers).status_code != status:
        assert time.monotonic() < end
        time.sleep(0.05)
