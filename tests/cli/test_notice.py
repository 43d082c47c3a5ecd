from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from tests.cli.world import crimeguard as program
from tests.cli.world import refused


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What a webhook was told."""
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setenv("CRIMEGUARD_ALERT_WEBHOOK", f"http://127.0.0.1:{server.server_port}/t0ken")
    yield got
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("result", "severity", "words"),
    [("success", "resolved", "crimeguard 12 succeeded: http://ci/12"),
     ("failure", "critical", "crimeguard 12 failed: http://ci/12")],
)  # fmt: skip
def test_one_message_goes_where_alerts_go(
    inbox: list[dict[str, Any]], result: str, severity: str, words: str
) -> None:
    told = program("notice", "--result", result, "--subject", "crimeguard 12", "--url",
                   "http://ci/12")  # fmt: skip
    assert (told.code, told.out) == (0, "")
    assert "notice by webhook http://127.0.0.1:" in told.err
    assert told.err.rstrip().endswith("sent")
    assert "t0ken" not in told.err
    (got,) = inbox
    assert (got["key"], got["severity"], got["summary"]) == ("pipeline", severity, words)
    assert got["details"] == {"result": result, "url": "http://ci/12"}


def test_every_build_is_told_of(inbox: list[dict[str, Any]]) -> None:
    for number in (1, 2):
        program("notice", "--result", "failure", "--subject", f"build {number}")
    assert [got["summary"] for got in inbox] == ["build 1 failed.", "build 2 failed."]


def test_without_a_channel_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CRIMEGUARD_ALERT_WEBHOOK", raising=False)
    told = program("notice", "--result", "failure", "--subject", "x")
    assert told.code == 0
    assert "no channel is set up" in told.err


def test_a_channel_that_fails_is_told_and_says_nothing_about_the_build(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("crimeguard.monitor.channels.RETRIES", 0)
    monkeypatch.setenv("CRIMEGUARD_ALERT_WEBHOOK", "http://127.0.0.1:9/t0ken")
    told = program("notice", "--result", "success", "--subject", "x")
    assert told.code == 0
    assert "cannot be reached" in told.err
    assert "t0ken" not in told.err


def test_an_unknown_result_is_a_usage_error() -> None:
    refused(program("notice", "--result", "maybe", "--subject", "x"), 2, "maybe")
