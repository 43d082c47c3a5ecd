"""One contender, once: started, proved to serve the same model, asked, weighed, ended."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.serving.contenders import Contender, ask
from benchmarks.serving.incidents import Record, write_bodies
from benchmarks.serving.process import free_ports, running
from benchmarks.serving.wrk import Measured, drive

_WARM_CLIENTS: Final = 8
_PROVED: Final = 20  # incidents whose answers are compared


@dataclass(frozen=True, slots=True)
class Round:
    """What one start of a contender gave; `measured` by the number of clients.

    `megabytes` are resident at the end, of all its `processes`; `said` the categories of the
    first incidents, None for who predicts nothing.
    """

    contender: str
    number: int
    start_seconds: float
    measured: dict[int, Measured]
    megabytes: float
    processes: int
    said: tuple[str | None, ...]


def run_round(
    contender: Contender,
    number: int,
    asked: list[Record],
    work: Path,
    *,
    clients: Sequence[int],
    seconds: float,
    warm: float,
) -> Round:
    """Run one contender; NotUpError, or SystemExit if it answers what it does not log."""
    home = work / f"{contender.name}-{number}"
    home.mkdir()
    bodies = write_bodies(asked, contender.form, home / "bodies.jsonl")
    ports = free_ports()
    address = f"http://127.0.0.1:{ports[0]}"
    command, environ = contender.filled(ports, home)
    with running(command, environ, home / "server.log") as server:
        start = server.wait_ready(address + contender.ready)
        said = tuple(ask(contender, address, record) for record in asked[:_PROVED])
        url = address + contender.path
        runs = [drive(url, bodies, clients=_WARM_CLIENTS, seconds=warm, key=contender.key)]
        runs += [drive(url, bodies, clients=count, seconds=seconds, key=contender.key)
                 for count in clients]  # fmt: skip
        megabytes, processes = server.megabytes(), server.count()
    if contender.logs:
        require_logged(home, len(said) + sum(run.requests - run.errors for run in runs))
    shutil.rmtree(home)
    return Round(contender.name, number, start, dict(zip(clients, runs[1:], strict=True)),
                 megabytes, processes, said)  # fmt: skip


def require_logged(home: Path, answered: int) -> None:
    """SystemExit unless every answer that was counted is in the log."""
    with closing(sqlite3.connect(home / "records.db")) as database:
        (rows,) = database.execute("SELECT count(*) FROM prediction").fetchone()
    if rows < answered:
        raise SystemExit(f"{answered:,} answered, {rows:,} in the log")
