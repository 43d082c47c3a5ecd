"""A model to serve for those who bring none."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Final

ROWS: Final = 30_000  # as `crimeguard up` does


def trained(work: Path) -> Path:
    """Train on simulated incidents as `crimeguard up` does; return the folder of the bundle."""
    from crimeguard import pipeline
    from crimeguard.ingest.simulator import simulate
    from crimeguard.ingest.writer import write_export
    from crimeguard.train.params import load_params

    began = time.monotonic()
    print(f"training on {ROWS:,} simulated incidents", file=sys.stderr)
    data = work / "simulated.parquet"
    write_export(simulate(ROWS, seed=1), data)
    prepared = pipeline.prepare(data, work)
    bundle = pipeline.train(prepared.snapshot, load_params(), work).bundle
    print(f"trained in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return bundle.path
