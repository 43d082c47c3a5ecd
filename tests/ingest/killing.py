"""Pulls that are killed with signal 9 while the portal's rows change."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from crimeguard.ingest.kept import Kept
from crimeguard.ingest.pull import folder_of, pull
from crimeguard.ingest.soda import Query, Soda
from tests.ingest.soda_server import Dataset, Portal, Row, serving

DATASET = "abcd-1234"
COLUMNS = ["name", "date"]
_WAIT = 600.0


@dataclass(frozen=True)
class Killed:
    """What came of it: `fetched_twice` are rows that were asked for more than once."""

    kills: int
    rows: int
    disturbed: int
    requests: int
    fetched_twice: int
    exact: bool


def exact(table: pl.DataFrame, data: Dataset) -> bool:
    """Tell whether a table holds a data set's rows, each once, every value the same."""
    ours = sorted(table.to_dicts(), key=lambda row: row[":id"])
    theirs = [{name: row.get(name) for name in table.columns} for row in data.content()]
    return ours == theirs


@dataclass
class Trouble:
    """Changes rows while they are pulled, and kills the process that pulls at a request."""

    portal: Portal
    chance: random.Random
    make: Callable[[int], Row]
    changed: str = "name"
    disturbed: int = 0
    due: int = 0
    process: subprocess.Popen[bytes] | None = None

    def __call__(self, number: int) -> None:
        """Be told of a request."""
        if number % 4 == 0:
            self._disturb()
        if self.process is not None and number >= self.due:
            process, self.process = self.process, None
            # A thread, so that the kill may also fall on the writing of a page.
            threading.Timer(self.chance.uniform(0, 0.03), process.send_signal,
                            (signal.SIGKILL,)).start()  # fmt: skip

    def _disturb(self) -> None:
        data, ids = self.portal.data, self.portal.data.ids()
        self.disturbed += 1
        what = self.chance.choice(["change", "insert", "delete"])
        if what == "change":
            row = self.make(10**6 + self.disturbed)
            data.change(self.chance.choice(ids), **{self.changed: row[self.changed]})
        elif what == "insert":
            place = self.chance.randrange(2 * len(ids))
            data.insert(self.make(10**6 + self.disturbed), place)
        else:
            data.delete(self.chance.choice(ids))


def kill_often(
    trouble: Trouble,
    command: Sequence[str],
    environ: dict[str, str],
    kills: int,
    spread: int,
    tell: Callable[[int], None] = lambda done: None,
) -> int:
    """Start a command until it was killed so many times; return how many fell in time."""
    done = 0
    for _ in range(10 * kills):
        if done == kills:
            break
        trouble.due = len(trouble.portal.requests) + trouble.chance.randint(1, spread)
        with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as process:  # fmt: skip
            trouble.process = process
            process.wait(_WAIT)
        trouble.process = None
        if process.returncode == -signal.SIGKILL:
            done += 1
            tell(done)
    return done


def killed_pulls(
    folder: Path,
    *,
    kills: int,
    rows: int,
    page_rows: int,
    spread: int,
    seed: int,
    tell: Callable[[int], None] = lambda done: None,
) -> Killed:
    """Kill a bare pull, then let one run to its end on a portal that is at rest."""
    chance = random.Random(seed)

    def make(number: int) -> Row:
        return {"name": f"n{number}", "date": "2024-01-01T00:00:00.000"}

    portal = Portal(DATASET, Dataset.of(map(make, range(rows)), list(COLUMNS)))
    with serving(portal):
        trouble = portal.before = Trouble(portal, chance, make)
        command = [sys.executable, "-m", "tests.ingest.killing", portal.address, str(folder),
                   str(page_rows)]  # fmt: skip
        done = kill_often(trouble, command, dict(os.environ), kills, spread, tell)
        time.sleep(0.05)  # let the last timer pass
        portal.before = lambda _: None
        table = _fetch(portal.address, folder, page_rows)
        given = sum(_rows_of(request, portal) for request in portal.requests)
        return Killed(done, len(portal.data.rows), trouble.disturbed, len(portal.requests),
                      given - len(portal.data.rows), exact(table, portal.data))  # fmt: skip


def _rows_of(request: dict[str, str], portal: Portal) -> int:
    """Bound the rows that a request was given."""
    whole = "$limit" in request and "," in request["$select"]
    return min(int(request["$limit"]), len(portal.data.rows)) if whole else 0


def _fetch(address: str, home: Path, page_rows: int) -> pl.DataFrame:
    query = Query(DATASET, (":id", ":updated_at", *COLUMNS))
    folder = folder_of(home, "killed", address, query)
    with Soda(address) as soda, Kept.opened(folder, query.columns) as kept:
        return pull(soda, query, kept, lambda *_: None, page_rows).table


if __name__ == "__main__":
    fetched = _fetch(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.write(json.dumps({"rows": fetched.height}))
