"""The figures of benchmarks/serving: read from the load tool, and no ratio of what failed."""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path

import pytest
from benchmarks.serving import table
from benchmarks.serving.contenders import contenders
from benchmarks.serving.incidents import records
from benchmarks.serving.process import NotUpError, Server, free_ports, running
from benchmarks.serving.rounds import Round
from benchmarks.serving.wrk import Measured, parse

from crimeguard.serve.incident import read_one

OUTPUT = (
    "Running 1s test @ http://127.0.0.1:1\n  1 threads and 8 connections\n\n"
    'BENCH {"requests": 500, "microseconds": 2000000, "p50": 1500, "p95": 2500, "p99": 4000, '
    '"max": 9000, "refused": 2, "socket": 1}\n'
)


def entered(name: str, number: int, per_second: float, errors: int = 0, said: str = "x") -> Round:
    measured = Measured(100, per_second, 1.0, 1000 / per_second, 3.0, errors)
    return Round(name, number, 0.5, {8: measured}, 100.0, 1, (said,))


def report(rounds: list[Round]) -> str:
    known = contenders(Path("bundle"), Path(), 1)
    chosen = [known[name] for name in dict.fromkeys(found.contender for found in rounds)]
    return table.text(table.report(rounds, chosen, [], {}, bundle="b", seconds=1))


@pytest.fixture(autouse=True)
def _no_registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("benchmarks.serving.contenders.registered", lambda *_: "models:/x/1")
    monkeypatch.chdir(tmp_path)


def test_the_tool_is_read() -> None:
    assert parse(OUTPUT) == Measured(500, 250.0, 1.5, 2.5, 4.0, 3)


def test_a_tool_that_fell_over_is_no_figure() -> None:
    with pytest.raises(SystemExit, match="unable to connect"):
        parse("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_a_ratio_is_the_median_of_those_of_the_rounds() -> None:
    rounds = [entered("noop", n, rate) for n, rate in enumerate((1000, 2000, 4000))]
    rounds += [entered("crimeguard", n, rate) for n, rate in enumerate((500, 1200, 3600))]
    shown = report(rounds)
    assert "| crimeguard | 8 | 1,200 |" in shown
    assert "| 60% | 1.7x |" in shown


@pytest.mark.parametrize("failed", ["noop", "crimeguard"])
def test_there_is_no_ratio_of_what_failed(failed: str) -> None:
    rounds = [entered(name, 0, 1000, errors=int(name == failed)) for name in ("noop", "crimeguard")]
    (line,) = [line for line in report(rounds).splitlines() if line.startswith("| crimeguard")]
    assert line.endswith("| - | - | - |")


@pytest.mark.parametrize(("other", "warned"), [("x", False), ("y", True)])
def test_other_answers_are_told(other: str, warned: bool) -> None:
    shown = report([entered("mlflow", 0, 10), entered("crimeguard", 0, 10, said=other)])
    assert ("DO NOT GIVE THE SAME ANSWERS" in shown) is warned


def test_what_is_asked_can_be_read_and_differs() -> None:
    asked = records(50)
    assert len({record["DR_NO"] for record in asked}) == 50
    assert all(read_one(record).incident for record in asked)


def test_a_server_is_weighed_with_its_children_and_ended(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    script = tmp_path / "server.py"
    script.write_text(
        "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time;"
        "time.sleep(300)'], start_new_session=True);"
        "from http.server import HTTPServer, SimpleHTTPRequestHandler;"
        f"HTTPServer(('127.0.0.1', {port}), SimpleHTTPRequestHandler).serve_forever()"
    )
    with running([sys.executable, str(script)], {}, tmp_path / "log") as server:
        server.wait_ready(f"http://127.0.0.1:{port}")
        assert server.count() == 2
        assert server.megabytes() > 1
    assert server.count() == 0
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}")


def test_a_server_that_ends_by_itself_is_not_up(tmp_path: Path) -> None:
    server = Server([sys.executable, "-c", "raise SystemExit('no such bundle')"], {},
                    tmp_path / "log")  # fmt: skip
    with pytest.raises(NotUpError, match="no such bundle"):
        server.wait_ready("http://127.0.0.1:1")
    server.end()
