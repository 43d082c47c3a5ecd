"""A pull that is killed at random points, on a portal whose rows change meanwhile.

    python -m benchmarks.pull [kills]

A server on this machine speaks SODA and holds 10,000 rows. A process that pulls them, fifty a
page, is killed with signal 9 at a random request (and up to 30 ms later, so that the kill also
falls on the writing of a page), and started again. With every fourth request a row is changed,
added or deleted. When all kills are done the portal is left at rest and one pull runs to its
end: it must hold exactly the portal's rows, or the program fails.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from tests.ingest.killing import killed_pulls

ROWS, PAGE_ROWS = 10_000, 50


def main() -> None:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    print(f"{platform.machine()}, {os.cpu_count()} cores, CPython {platform.python_version()}")
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = killed_pulls(
            Path(folder), kills=kills, rows=ROWS, page_rows=PAGE_ROWS, spread=12, seed=7,
            tell=lambda done: print(f"kill {done}", flush=True),
        )  # fmt: skip
    print(f"{found.kills} kills, {found.disturbed} changes of rows, {found.requests:,} requests in "
          f"{time.perf_counter() - begin:.0f} s; the portal has {found.rows:,} rows, exactly the "
          f"same here: {found.exact}")  # fmt: skip
    if not found.exact or found.kills < kills:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
