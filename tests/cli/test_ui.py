import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest
import typer
from typer.testing import CliRunner

from crimeguard.cli.ui import ui
from crimeguard.domain.errors import UsageError

app = typer.Typer(rich_markup_mode=None)
app.command()(ui)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_help_begins_with_what_it_does_and_examples() -> None:
    shown = CliRunner().invoke(app, ["--help"]).stdout
    assert "Serve the console for people" in shown
    assert shown.index("Examples:") < shown.index("--api-url")
    assert "crimeguard ui --port 8600" in shown


def test_a_taken_port_is_a_usage_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = CliRunner().invoke(app, ["--port", str(taken.getsockname()[1])])
    assert isinstance(result.exception, UsageError)
    assert "CRIMEGUARD_UI_PORT" in result.exception.fix


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_ended_and_leaves_nothing_running(end: signal.Signals) -> None:
    port = free_port()
    program = "import typer; from crimeguard.cli.ui import ui; typer.run(ui)"
    with subprocess.Popen(
        [sys.executable, "-c", program, "--port", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as child:  # fmt: skip
        try:
            assert _answers(port)
            child.send_signal(end)
            _, words = child.communicate(timeout=20)
        finally:
            child.kill()
    assert child.returncode == 0
    assert f"console: http://127.0.0.1:{port}".encode() in words
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_beyond_loopback_it_says_that_it_asks_nobody_who_they_are() -> None:
    port = free_port()
    program = "import typer; from crimeguard.cli.ui import ui; typer.run(ui)"
    with subprocess.Popen(
        [sys.executable, "-c", program, "--port", str(port)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "CRIMEGUARD_UI_HOST": "0.0.0.0"},
    ) as child:  # fmt: skip
        try:
            assert _answers(port, "127.0.0.2")
            foreign = {"Origin": "http://evil.example", "Host": f"127.0.0.1:{port}"}
            assert _joins(port, foreign) == 403
            own = {"Origin": f"http://127.0.0.1:{port}", "Host": f"127.0.0.1:{port}"}
            assert _joins(port, own) == 101
            # A proxy that hands on the name by which people know the console.
            named = {"Origin": "https://console.example", "Host": "console.example"}
            assert _joins(port, named) == 101
            child.terminate()
            printed, words = child.communicate(timeout=20)
        finally:
            child.kill()
    assert child.returncode == 0
    assert b"Put a proxy with a login in front" in words
    assert b"External URL" not in printed


def _joins(port: int, headers: dict[str, str]) -> int:
    """Ask for the console's web socket, and return the status."""
    asked = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
             "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", **headers}  # fmt: skip
    lines = "".join(f"{name}: {value}\r\n" for name, value in asked.items())
    with socket.create_connection(("127.0.0.1", port), timeout=20) as caller:
        caller.sendall(f"GET /_stcore/stream HTTP/1.1\r\n{lines}\r\n".encode())
        return int(caller.recv(100).split()[1])


def _answers(port: int, host: str = "127.0.0.1") -> bool:
    for _ in range(200):
        try:
            return httpx.get(f"http://{host}:{port}/_stcore/health", trust_env=False).is_success
        except httpx.HTTPError:
            time.sleep(0.1)
    return False
