from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import httpx
import pytest

from crimeguard.domain.errors import BundleError, CrimeGuardError, UsageError
from crimeguard.serve import server
from crimeguard.serve.keys import KeysError, Scope, append_key, make_key
from crimeguard.serve.openapi import NAMES_EXAMPLE
from crimeguard.settings import Settings
from tests.serve.program import SLOW_AREA

ROOT = Path(__file__).parents[2]


class Running:
    """The program of tests/serve/program.py and its address."""

    def __init__(self, home: Path, environ: Mapping[str, str] | None = None) -> None:
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.serve.program", str(home)], cwd=ROOT,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **(environ or {})},
        )  # fmt: skip
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        assert self.address.startswith("http://"), self.end()

    def alias(self, version: str) -> None:
        (self.home / "alias.txt").write_text(version)

    def wait_for(self, version: str) -> None:
        def served() -> bool:
            info = httpx.get(f"{self.address}/health").json()["model_info"]
            return info is not None and info["version"] == version

        _until(served, f"version {version} was not served")

    def end(self) -> str:
        """Ask it to stop, and return what it wrote to stderr."""
        self.process.terminate()
        _, errors = self.process.communicate(timeout=20)
        return errors


def _until(condition: Callable[[], bool], otherwise: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, f"{otherwise} within 60 seconds"
        time.sleep(0.01)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    (tmp_path / "alias.txt").write_text("1")
    running = Running(tmp_path)
    yield running
    if running.process.poll() is None:
        running.end()


def test_it_changes_over_without_a_restart_and_without_a_failure(running: Running) -> None:
    running.wait_for("1")
    seen: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=running.address) as client:
            while not stop.is_set():
                answer = client.post("/predict", json=NAMES_EXAMPLE)
                seen.append(
                    answer.json()["model_info"]["version"] if answer.is_success else answer.text
                )

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for version in ("1", "2", "3"):
        running.alias(version)
        _until(partial(seen.__contains__, version), f"version {version} answered nobody")
    stop.set()
    for thread in threads:
        thread.join()
    assert set(seen) == {"1", "2", "3"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_the_requests_in_flight(
    running: Running, number: signal.Signals
) -> None:
    running.wait_for("1")
    answers: list[int] = []
    body = {**NAMES_EXAMPLE, "area": SLOW_AREA}

    def ask() -> None:
        answers.append(httpx.post(f"{running.address}/predict", json=body).status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.3)
    running.process.send_signal(number)
    _, errors = running.process.communicate(timeout=20)
    thread.join()
    assert answers == [200]
    assert running.process.returncode == 0
    assert "Traceback" not in errors


def test_a_large_body_is_refused_and_the_refusal_arrives(running: Running) -> None:
    answer = httpx.post(
        f"{running.address}/predict", content=b"x" * 10_000_000,
        headers={"Content-Type": "application/json"},
    )  # fmt: skip
    assert answer.status_code == 413
    assert answer.json()["type"] == "/docs#problem-too-large"
    probe = httpx.get(f"{running.address}/livez")
    assert probe.status_code == 200
    assert "Server" not in probe.headers


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_addresses_are_served(host: str) -> None:
    server.require_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org", "", "127.0.0.1x"])
def test_other_addresses_are_refused(host: str) -> None:
    with pytest.raises(UsageError, match="no API keys"):
        server.run(Settings(host=host))


def test_keys_that_cannot_be_read_are_no_keys(tmp_path: Path) -> None:
    for settings in (Settings(host="0.0.0.0", api_keys="x"), Settings(api_keys_file="nowhere")):
        with pytest.raises(KeysError):
            server.run(settings)


def test_with_keys_it_listens_beyond_loopback_and_lets_only_callers_in(tmp_path: Path) -> None:
    (tmp_path / "alias.txt").write_text("1")
    secret, key = make_key("caller", [Scope.PREDICT])
    append_key(tmp_path / "keys", key)
    environ = {"CRIMEGUARD_HOST": "0.0.0.0", "CRIMEGUARD_API_KEYS_FILE": str(tmp_path / "keys")}
    running = Running(tmp_path, environ)
    try:
        # Another address than the one that the tests above may use.
        url = running.address.replace("0.0.0.0", "127.0.0.2")
        _until(lambda: httpx.get(f"{url}/readyz").is_success, "it was not ready")
        headers = {"X-API-Key": secret}
        with httpx.Client(base_url=url) as client:
            # The refusal arrives though its body is never read, and the connection lives on.
            assert client.post("/predict", content=b"x" * 10_000_000).status_code == 401
            assert client.post("/predict", json=NAMES_EXAMPLE, headers=headers).is_success
            (tmp_path / "keys").write_text(make_key("other", [Scope.PREDICT])[1].entry())

            def refused() -> bool:
                answer = client.post("/predict", json=NAMES_EXAMPLE, headers=headers)
                return answer.status_code == 401

            _until(refused, "the key was not taken out of use")
    finally:
        said = running.end()
    assert secret not in said
    assert "the API keys have changed: other" in said


def test_a_port_that_is_taken_is_named() -> None:
    first = server.bind("127.0.0.1", 0)
    port = first.getsockname()[1]
    try:
        with pytest.raises(CrimeGuardError, match=f"Port {port} of 127.0.0.1"):
            server.bind("127.0.0.1", port)
    finally:
        first.close()


def test_addresses_are_urls() -> None:
    listener = server.bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    assert server.address_of(listener) == f"http://127.0.0.1:{port}"
    listener.close()


def test_a_folder_that_is_no_bundle_is_not_served(tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        server.run(Settings(port=1), bundle=tmp_path)
