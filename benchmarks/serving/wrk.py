"""One load tool for all: wrk, with one thread and a file of bodies."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SCRIPT: Final = Path(__file__).with_name("load.lua")
_MARK: Final = "BENCH "


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run of the load tool saw; times in milliseconds.

    `errors` are answers of status 400 and above, and failures of the connection; with any of
    them the other figures mean nothing.
    """

    requests: int
    per_second: float
    p50: float
    p95: float
    p99: float
    errors: int


def drive(url: str, bodies: Path, *, clients: int, seconds: float, key: str = "") -> Measured:
    """Ask `url` with so many clients at once, each waiting for its answer before it asks again."""
    environ = {**os.environ, "BENCH_BODIES": str(bodies), "BENCH_KEY": key}
    ran = subprocess.run(
        ["wrk", "--threads", "1", "--connections", str(clients), "--duration",
         f"{max(1, round(seconds))}s", "--timeout", "30s", "--latency", "--script",
         str(SCRIPT), url],
        env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    return parse(ran.stdout)


def parse(output: str) -> Measured:
    """Read the line that the script writes at the end; SystemExit if there is none."""
    line = next((part for part in output.splitlines() if part.startswith(_MARK)), None)
    if line is None:
        raise SystemExit(f"wrk did not come to its end:\n{output}")
    said = json.loads(line.removeprefix(_MARK))
    return Measured(
        said["requests"], said["requests"] / (said["microseconds"] / 1e6),
        said["p50"] / 1e3, said["p95"] / 1e3, said["p99"] / 1e3,
        errors=said["refused"] + said["socket"],
    )  # fmt: skip


def require_wrk() -> None:
    """SystemExit unless the load tool is there."""
    if shutil.which("wrk") is None:
        raise SystemExit("The load tool is not installed: apt-get install wrk")
