"""The API, Prometheus and Alertmanager as processes on loopback, and a webhook that listens."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import pytest
import yaml

from tests.monitor.test_channels import free_port

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
RULES: Final = sorted((DEPLOY / "prometheus" / "rules").glob("*.yml"))
_PATIENCE: Final = 60.0
T = TypeVar("T")


def tool(name: str) -> str:
    """Return where a program of Debian's prometheus or prometheus-alertmanager is."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: prometheus, prometheus-alertmanager)")
    return found


def run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, timeout=60,
        **options,
    )  # fmt: skip


def rules() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield every rule with the file that it stands in."""
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                yield path, rule


def wait_for(look: Callable[[], T], what: str, seconds: float = _PATIENCE) -> T:
    """Return what `look` returns once it is true."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.1)
    return found


class Hook:
    """What the webhook got."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.address = ""

    def firing(self, **labels: str) -> list[dict[str, Any]]:
        """Return the alerts told as firing that have these labels, each with its receiver."""
        return [
            {**alert, "receiver": message["receiver"]}
            for message in list(self.got)
            for alert in message["alerts"]
            if alert["status"] == "firing" and labels.items() <= alert["labels"].items()
        ]


@contextmanager
def webhook() -> Iterator[Hook]:
    """Listen for what Alertmanager posts."""
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            hook.got.append({**told, "path": self.path})
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hook.address = f"http://127.0.0.1:{server.server_port}/hook?token=t0ken"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def process(command: Sequence[str], log: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program, its words in a file, until the block ends."""
    with log.open("wb") as words:
        child = subprocess.Popen(command, stdout=words, stderr=subprocess.STDOUT, **options)
        try:
            yield child
        finally:
            if child.poll() is None:
                child.terminate()
            try:
                child.wait(timeout=30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.TransportError:
        return False


@contextmanager
def api(home: Path, folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Serve what is in production, and follow the registry."""
    environ = {
        **os.environ, "CRIMEGUARD_HOME": str(home), "CRIMEGUARD_FOLLOW_SECONDS": "1",
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    port = free_port()
    command = [sys.executable, "-m", "tests.delivery.watched_api", "serve", "--port", str(port)]
    log = folder / "api.log"
    with process(command, log, env=environ, cwd=ROOT, stdin=subprocess.DEVNULL) as child:
        address = f"http://127.0.0.1:{port}"
        try:
            wait_for(lambda: answers(f"{address}/readyz"), "the API", 120)
        except AssertionError as error:
            raise AssertionError(log.read_text()) from error
        yield address, child


@contextmanager
def alertmanager(folder: Path, hook: Hook) -> Iterator[str]:
    """Run Alertmanager as the container does, its waits shortened, nothing else changed."""
    binary, port = tool("prometheus-alertmanager"), free_port()
    shutil.copy(DEPLOY / "alertmanager" / "entrypoint", folder)
    text = (DEPLOY / "alertmanager" / "alertmanager.yml").read_text()
    text = re.sub(r"(group_wait|group_interval): \w+", r"\1: 1s", text)
    (folder / "alertmanager.yml").write_text(text)
    environ = {
        "PATH": os.environ["PATH"], "TMPDIR": str(folder / "tmp"), "ALERTMANAGER": binary,
        "ALERT_WEBHOOK_URL": hook.address,
    }  # fmt: skip
    (folder / "tmp").mkdir()
    command = [
        str(folder / "entrypoint"), "--cluster.listen-address=",
        f"--storage.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with process(command, folder / "alertmanager.log", env=environ, cwd=folder):
        address = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(f"{address}/-/ready"), "Alertmanager")
        yield address


def shortened(path: Path, folder: Path) -> Path:
    """Copy a file of rules with `for:` of a second; no expression is changed."""
    text, number = re.subn(r"(?m)^(\s+for:) \w+$", r"\1 1s", path.read_text())
    assert number == text.count("- alert:")
    (folder / path.name).write_text(text)
    return folder / path.name


@contextmanager
def prometheus(folder: Path, backend: str, manager: str) -> Iterator[str]:
    """Run Prometheus on our configuration: other addresses, and a look every second."""
    binary, port = tool("prometheus"), free_port()
    text = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    text = re.sub(r"(scrape_interval|evaluation_interval|scrape_timeout): \w+", r"\1: 1s", text)
    for name, address in (
        ("backend:5000", backend), ("alertmanager:9093", manager),
        ("localhost:9090", f"http://127.0.0.1:{port}"),
    ):  # fmt: skip
        assert name in text
        text = text.replace(name, address.removeprefix("http://"))
    (folder / "prometheus.yml").write_text(text)
    (folder / "rules").mkdir()
    for path in RULES:
        shortened(path, folder / "rules")
    command = [
        binary, f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]  # fmt: skip
    with process(command, folder / "prometheus.log", cwd=folder):
        address = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(f"{address}/-/ready"), "Prometheus")
        yield address
