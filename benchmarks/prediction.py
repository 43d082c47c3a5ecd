"""How fast answers come, in this process: one incident, and a batch of 100,000.

    python benchmarks/prediction.py BUNDLE [batch rows]

One incident is a raw dictionary with the portal's headings, to a finished answer, on one
thread. The batch is simulated rows in memory, on all cores; its answers must equal those
given one by one, or the program fails. Bounds: median of one at most 3 ms,
the batch at least 20,000 rows/s.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

from crimeguard.domain.incident import Incident
from crimeguard.features.columns import Columns, Floats
from crimeguard.ingest.frame import canonical
from crimeguard.ingest.simulator import simulate
from crimeguard.registry.bundle import Bundle
from crimeguard.serve.predictor import Predictor
from crimeguard.serve.scoring import score_rows

SINGLES = 2_000


def main() -> None:
    bundle = Bundle.load(Path(sys.argv[1]))
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    raw = pl.concat(simulate(rows, seed=11))
    print(f"{platform.machine()}, CPython {platform.python_version()}, bundle {bundle.version}, "
          f"{sum(f['bytes'] for f in bundle.manifest['files'].values()) / 1e6:.1f} MB")  # fmt: skip
    singles = _singles(Predictor(bundle), raw.head(SINGLES).to_dicts())
    frame = canonical(raw).require_clean("the simulated rows")
    columns = Columns.from_frame(frame)
    begin = time.perf_counter()
    batch = score_rows(bundle.model, columns)
    seconds = time.perf_counter() - begin
    print(f"batch of {rows:,}: {seconds:.2f} s, {rows / seconds:,.0f} rows/s")
    gap = float(np.abs(batch[:SINGLES] - singles).max())
    print(f"largest difference between one by one and batch: {gap:.1e}")
    if gap > 0:
        raise SystemExit("one by one and batch give different answers")


def _singles(predictor: Predictor, records: list[dict[str, str]]) -> Floats:
    predictor.predict([Incident.from_record(records[0])])
    times, answers = [], []
    for record in records:
        begin = time.perf_counter()
        answer = predictor.predict([Incident.from_record(record)])[0]
        times.append(time.perf_counter() - begin)
        answers.append(list(answer.probabilities.values()))
    cuts = statistics.quantiles(times, n=100)
    print(f"one incident, {len(times):,} times: median {1e3 * statistics.median(times):.2f} ms, "
          f"p95 {1e3 * cuts[94]:.2f} ms, p99 {1e3 * cuts[98]:.2f} ms")  # fmt: skip
    return np.array(answers)


if __name__ == "__main__":
    main()
