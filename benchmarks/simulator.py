"""Time, rows a second and peak memory of simulating a file.

    python benchmarks/simulator.py [rows] [csv|csv.gz|parquet]

Bounds: under 30 s and 2 GB for 1,000,000 rows as CSV.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

from crimeguard.ingest.simulator import simulate
from crimeguard.ingest.writer import write_export


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    ending = sys.argv[2] if len(sys.argv) > 2 else "csv"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rows.{ending}"
        begin = time.perf_counter()
        write_export(simulate(rows, seed=1), path)
        seconds = time.perf_counter() - begin
        size = path.stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{rows:,} rows to {ending}: {seconds:.1f} s, {rows / seconds:,.0f} rows/s, "
          f"peak {peak:,.0f} MB, file {size / 1e6:,.0f} MB")  # fmt: skip


if __name__ == "__main__":
    main()
