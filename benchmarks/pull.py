"""A pull that is killed at random points, on a portal whose rows change meanwhile.

    python -m benchmarks.pull [kills]

A server on this machine speaks SODA and holds 10,000 simulated incidents of `la-2020`.
`crimeguard pull --source la-2020` is started, killed with signal 9 at a random request (and
up to 30 ms later, so that the kill also falls on the writing of a page), and started again.
With every fourth request a row is changed, added or deleted. When all kills are done the
portal is left at rest and one pull runs to its end: its snapshot must hold exactly the
portal's rows, or the program fails.
"""

from __future__ import annotations

import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.ingest.killing import Trouble, kill_often
from tests.ingest.portal_rows import Row, los_angeles
from tests.ingest.soda_server import Dataset, Portal, serving

from crimeguard.ingest.kept import as_text
from crimeguard.ingest.los_angeles import LA_2020
from crimeguard.ingest.snapshot import Snapshot

ROWS = 10_000
PAGE_ROWS = 100


def main() -> None:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    print(f"{platform.machine()}, {os.cpu_count()} cores, CPython {platform.python_version()}")
    rows = los_angeles(ROWS)

    def make(number: int) -> Row:
        return {**rows[number % ROWS], "dr_no": f"99{number}"}

    begin = time.perf_counter()
    portal = Portal(LA_2020.dataset, Dataset.of(rows, list(LA_2020.columns)))
    with tempfile.TemporaryDirectory() as home, serving(portal):
        environ = {**os.environ, "CRIMEGUARD_HOME": home, "CRIMEGUARD_SODA_URL": portal.address}
        command = [str(Path(sys.executable).with_name("crimeguard")), "pull", "--source",
                   LA_2020.name, "--page-rows", str(PAGE_ROWS), "--json"]  # fmt: skip
        trouble = Trouble(portal, random.Random(7), make, changed="dr_no")
        portal.before = trouble
        done = kill_often(trouble, command, environ, kills, spread=8)
        portal.before = lambda _: None
        time.sleep(0.1)
        ended = subprocess.run(command, env=environ, check=True, capture_output=True, text=True)
        told = json.loads(ended.stdout)
        snapshot = Snapshot.load(Path(told["path"]))
        truth = LA_2020.read(as_text(portal.data.content(), tuple(LA_2020.columns))).reading.frame
        same = snapshot.frame().sort("dr_no").equals(truth.sort("dr_no").select(snapshot.columns))
    requests = len(portal.requests)
    print(f"{done} kills, {trouble.disturbed} changes, {requests:,} requests in "
          f"{time.perf_counter() - begin:.0f} s: snapshot of {snapshot.rows:,} rows, portal "
          f"{len(portal.data.rows):,}; exactly the same: {same}")  # fmt: skip
    if not same or done < kills:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
