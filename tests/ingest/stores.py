"""Stores that snapshots are pushed to: a real S3 server, a real WebDAV server, and a stand-in.

`moto_server` speaks S3 and can check signatures; nginx speaks WebDAV with basic auth. The
stand-in is an HTTP server of our own that takes POST, as DagsHub does, and that can fail on
demand.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

USER, PASSWORD = "team", "Quartz-9-plume"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    """Wait until something answers there, whatever it says."""
    until = time.monotonic() + seconds
    while True:
        assert process.poll() is None, f"{process.args!r} has ended with {process.returncode}"
        try:
            httpx.get(url, timeout=5, trust_env=False)
        except httpx.TransportError:
            assert time.monotonic() < until, f"nothing answers at {url}"
            time.sleep(0.1)
        else:
            return


@dataclass(frozen=True)
class S3:
    """An S3 server with one user, who may do everything with it."""

    endpoint: str
    key: str
    secret: str
    buckets: tuple[str, ...]


@contextmanager
def s3_server(*buckets: str) -> Iterator[S3]:
    """Run moto's server; after it is set up it refuses wrong keys and wrong signatures."""
    import boto3

    port = free_port()
    program = Path(sys.executable).with_name("moto_server")
    process = subprocess.Popen(
        [str(program), "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    endpoint = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{endpoint}/moto-api/data.json", process)
        anybody = {"endpoint_url": endpoint, "region_name": "us-east-1",
                   "aws_access_key_id": "any", "aws_secret_access_key": "any"}  # fmt: skip
        iam, s3 = boto3.client("iam", **anybody), boto3.client("s3", **anybody)
        for bucket in buckets:
            s3.create_bucket(Bucket=bucket)
        iam.create_user(UserName=USER)
        key = iam.create_access_key(UserName=USER)["AccessKey"]
        everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
        policy = {"Version": "2012-10-17", "Statement": [everything]}
        iam.put_user_policy(UserName=USER, PolicyName="s3", PolicyDocument=json.dumps(policy))
        httpx.post(f"{endpoint}/moto-api/reset-auth", content=b"0").raise_for_status()
        yield S3(endpoint, key["AccessKeyId"], key["SecretAccessKey"], buckets)
    finally:
        process.terminate()
        process.wait(timeout=30)


NGINX = """
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
worker_processes 1;
{user}
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_max_body_size 0;
  client_body_temp_path {folder}/tmp/body;
  proxy_temp_path {folder}/tmp/proxy;
  fastcgi_temp_path {folder}/tmp/fastcgi;
  uwsgi_temp_path {folder}/tmp/uwsgi;
  scgi_temp_path {folder}/tmp/scgi;
  server {{
    listen 127.0.0.1:{port};
    root {folder}/store;
    auth_basic "snapshots";
    auth_basic_user_file {folder}/users;
    dav_methods PUT;
    create_full_put_path on;
  }}
}}
"""


def nginx() -> str | None:
    """Return where nginx is, None where it is not installed."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def dav_server(program: str, folder: Path) -> Iterator[str]:
    """Run nginx as a WebDAV server with basic auth; yield its address."""
    (folder / "tmp").mkdir(parents=True)
    (folder / "store").mkdir()
    (folder / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
    port = free_port()
    # The workers of a server that root starts are somebody else, who may not enter here.
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, user=user))
    process = subprocess.Popen(
        [program, "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/", process)
        yield f"http://127.0.0.1:{port}/team.dvc"
    finally:
        process.terminate()
        process.wait(timeout=30)


@dataclass
class StandIn:
    """What our own HTTP server keeps, what it was asked, and how it is to fail."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    status: int | None = None
    # Of the requests for files in their order of arrival, those behind these fail or wait.
    break_after: int | None = None
    hold_after: int | None = None
    go_on: threading.Event = field(default_factory=threading.Event)
    gets: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, method: str) -> int:
        return sum(1 for asked, _ in self.asked if asked == method)


class Handler(BaseHTTPRequestHandler):
    """Answers what DVC asks over HTTP, out of a dictionary."""

    protocol_version = "HTTP/1.1"
    state: StandIn

    def do_HEAD(self) -> None:
        if self._allowed():
            body = self.state.files.get(self.path)
            self._answer(404 if body is None else 200, body or b"")

    def do_GET(self) -> None:
        if not self._allowed():
            return
        state, body = self.state, self.state.files.get(self.path)
        with state.lock:
            state.gets += 1
            turn = state.gets
        if state.hold_after is not None and turn > state.hold_after:
            state.go_on.wait(30)
        if body is not None and state.break_after is not None and turn > state.break_after:
            self._break_off(body)
        else:
            self._answer(404 if body is None else 200, body or b"")

    def do_POST(self) -> None:
        if self._allowed():
            self.state.files[self.path] = self._body()
            self._answer(201)

    def _allowed(self) -> bool:
        self.state.asked.append((self.command, self.path))
        expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        known = self.headers.get("Authorization") == f"Basic {expected}"
        status = self.state.status if known else 401
        if status is not None:
            self._body()
            self._answer(status)
        return status is None

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _break_off(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """Serve a dictionary over HTTP with basic auth, in this process."""
    state = StandIn()
    handler = type("Handler", (Handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}/team/crimes.dvc"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
