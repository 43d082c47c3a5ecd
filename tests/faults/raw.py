"""Clients that do as they like: bytes over sockets."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from tests.faults.served import INCIDENT

_PATIENCE: Final = 60.0  # seconds; far more than any of the bounds that are tested


def connect(address: str, *, receives: int | None = None) -> socket.socket:
    """Open a connection; `receives` is the room for what is not read yet, in bytes."""
    url = urlsplit(address)
    client = socket.socket()
    client.settimeout(_PATIENCE)
    if receives is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
    client.connect((url.hostname, url.port))
    return client


def request(path: str, body: Any = None, *, announced: int | None = None) -> bytes:
    """Write a request; `announced` is what its header says of its length if that is not so."""
    content = b"" if body is None else json.dumps(body).encode()
    length = len(content) if announced is None else announced
    head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: x\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    return head.encode() + content


PREDICT: Final = request("/predict", INCIDENT)


def answer(client: socket.socket) -> tuple[int, Mapping[str, str], bytes]:
    """Read one answer; 0 if the server has closed without one."""
    with contextlib.closing(client.makefile("rb")) as lines:
        try:
            first = lines.readline()
            if not first:
                return 0, {}, b""
            headers = {}
            while (line := lines.readline().strip()) and line:
                name, _, text = line.decode().partition(":")
                headers[name.lower()] = text.strip()
            body = lines.read(int(headers.get("content-length", 0)))
        except ConnectionResetError:
            return 0, {}, b""
    return int(first.split()[1]), headers, body


def asked(client: socket.socket, data: bytes = PREDICT) -> int:
    """Send a request and return the status of its answer, 0 for none."""
    # The server may have answered before it closed.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client.sendall(data)
    return answer(client)[0]


def is_closed(client: socket.socket) -> bool:
    """Wait until the server has closed; what it says before is read and thrown away."""
    try:
        while client.recv(65_536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True
