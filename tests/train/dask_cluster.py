"""A real Dask scheduler with workers, each a process of its own, on the loopback."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_QUIET = ["--no-dashboard", "--host", "127.0.0.1"]


@contextmanager
def dask_cluster(folder: Path, workers: int = 2) -> Iterator[str]:
    """Start a scheduler and so many workers of one thread; yield the scheduler's address."""
    told = folder / "scheduler.json"
    started = [_start("scheduler", folder, ["--port", "0", "--scheduler-file", str(told)])]
    try:
        _wait_for(told, started[0])
        address = str(json.loads(told.read_text())["address"])
        for number in range(workers):
            how = ["--nthreads", "1", "--no-nanny", "--memory-limit", "0", "--name", str(number)]
            started.append(_start("worker", folder, [address, *how]))
        yield address
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _start(what: str, folder: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    program = [sys.executable, "-m", f"distributed.cli.dask_{what}", *_QUIET, *arguments]
    with (folder / "dask.log").open("ab") as log:
        return subprocess.Popen(program, cwd=folder, stdout=log, stderr=log)


def _wait_for(file: Path, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while not (file.exists() and file.read_text().rstrip().endswith("}")):
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError((file.parent / "dask.log").read_text())
        time.sleep(0.1)
