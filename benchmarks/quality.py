"""What the report on quality costs: seconds and memory by rows, in processes of their own.

`python -m benchmarks.quality --rows 200000 1000000`
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl

_CHILD = """
import json, sys, time
import datetime as dt
from pathlib import Path
from crimeguard.ingest.snapshot import Snapshot
from crimeguard.validate.quality import measure_quality
from crimeguard.validate.quality_page import quality_page
def peak():  # that of getrusage may be of the process that started this one
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
before = peak()
snapshot = Snapshot.load(Path(sys.argv[1]))
began = time.perf_counter()
if sys.argv[2] == "report":
    page = len(quality_page(measure_quality(snapshot, as_of=dt.date.today())))
else:
    from crimeguard.validate.contract import check_contract
    check_contract(snapshot.frame(), as_of=dt.date.today())
    page = 0
took = time.perf_counter() - began
print(json.dumps({"seconds": took, "mib": (peak() - before) / 1024, "page": page}))
"""


def main() -> None:
    from crimeguard.ingest.frame import canonical
    from crimeguard.ingest.simulator import simulate
    from crimeguard.ingest.snapshot import write_snapshot

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[200_000, 1_000_000])
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    print("| rows | months | what | seconds (least) | memory above start, MiB | page, kB |")
    print("| ---: | ---: | --- | ---: | ---: | ---: |")
    for rows in options.rows:
        with tempfile.TemporaryDirectory() as work:
            frames = simulate(rows, seed=7, start=dt.date(2020, 1, 1), end=dt.date(2024, 12, 31))
            frame = canonical(pl.concat(frames)).frame
            kept = write_snapshot(frame, Path(work), source="the simulator")
            del frame
            for what in ("report", "contract at once"):
                told = [_measured(kept.path, what) for _ in range(options.runs)]
                best = min(told, key=lambda item: item["seconds"])
                print(f"| {kept.rows:,} | {len(kept.manifest['partitions'])} | {what} "
                      f"| {best['seconds']:.2f} | {max(item['mib'] for item in told):.0f} "
                      f"| {best['page'] / 1000:.0f} |", flush=True)  # fmt: skip


def _measured(path: Path, what: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-c", _CHILD, str(path), what], check=True,
                          capture_output=True, text=True)  # fmt: skip
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


if __name__ == "__main__":
    main()
