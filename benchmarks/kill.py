"""What an API loses that is killed under load: nothing that it has acknowledged.

    python -m benchmarks.kill BUNDLE [kills]

Every round starts `crimeguard serve`, asks it from seven threads (six for one incident at a
time, one for 300 at once), kills it with signal 9 at a moment of chance, and counts the
prediction_ids that had reached a client. At the end the log is opened as the next process
would, and every one of them must be in it, or the program fails. All rounds share one
SQLite database, so each start also recovers what the kill before left.
"""

from __future__ import annotations

import os
import platform
import random
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.faults.served import killed_under_load, missing

from crimeguard.settings import Settings


def main() -> None:
    bundle = Path(sys.argv[1])
    kills = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    chance = random.Random(9)
    acknowledged: set[str] = set()
    print(f"{platform.machine()}, {os.cpu_count()} cores, CPython {platform.python_version()}")
    with tempfile.TemporaryDirectory() as home:
        settings = replace(Settings.load(), home=Path(home))
        for number in range(kills):
            seconds = chance.uniform(0.05, 1.5)
            known = killed_under_load(bundle, settings, seconds)
            acknowledged |= known
            when = f"{seconds:.2f} s after the first answers"
            print(f"kill {number + 1}, {when}: {len(known):,} acknowledged")
        lost = missing(settings, acknowledged)
    print(f"{kills} kills: {len(acknowledged):,} acknowledged, {len(lost):,} missing")
    if lost or not acknowledged:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
