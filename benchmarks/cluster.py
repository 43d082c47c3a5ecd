"""One machine against a Dask cluster of two workers on it: scores, time, overhead.

    python -m benchmarks.cluster [rows] [--light]

Simulated rows of the first quarter of 2023 (30,000 unless told otherwise); the newest fifth of the
days is scored. Each worker has one thread, this machine by itself two: the difference in time is
what sending, agreeing and waiting cost. `--light` fits fewer and smaller trees.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import polars as pl
from tests.train.dask_cluster import dask_cluster

from crimeguard.evaluate.metrics import score
from crimeguard.features.columns import Columns
from crimeguard.ingest.frame import canonical
from crimeguard.ingest.simulator import simulate
from crimeguard.train.cluster import Cluster, cluster
from crimeguard.train.crew import Crew, Here
from crimeguard.train.fit import fit_model, targets
from crimeguard.train.params import load_params
from crimeguard.train.split import split_by_time

WORKERS = 2


def main() -> None:
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    params = load_params(Path(__file__).parents[1] / "params.yaml")
    if "--light" in sys.argv:
        params = replace(params, xgboost=replace(params.xgboost, rounds=20, max_depth=6),
                         neural=replace(params.neural, seeds=1))  # fmt: skip
    raw = pl.concat(simulate(numbers[0] if numbers else 30_000, seed=9))
    split = split_by_time(canonical(raw).require_clean("the simulated rows"), params.split)
    columns, truth = Columns.from_frame(split.test), targets(split.test)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {split.train.height:,} rows to "
          f"train on, {len(truth):,} to score")  # fmt: skip

    def measure(name: str, crew: Crew) -> None:
        begin = time.perf_counter()
        model = fit_model(split.train, split.train_until, params, crew=crew)
        fitted = time.perf_counter()
        found = score(model.probabilities(columns), truth)
        print(f"{name:14} fitted in {fitted - begin:6.1f} s; accuracy {found.accuracy:.4f}, macro "
              f"F1 {found.macro_f1:.4f}, AUC {found.macro_roc_auc:.4f}, log-loss "
              f"{found.log_loss:.4f}, ECE {found.ece:.4f}", flush=True)  # fmt: skip
        if isinstance(crew, Cluster):
            begin = time.perf_counter()
            crew.probabilities(model, columns)
            print(f"{name:14} scored in {time.perf_counter() - begin:6.1f} s")

    measure("this machine", Here(WORKERS))
    with tempfile.TemporaryDirectory() as folder, dask_cluster(Path(folder), WORKERS) as address:
        begin = time.perf_counter()
        with cluster(address, patience=120) as crew:
            crew.client.wait_for_workers(WORKERS, timeout=120)
            print(f"the workers came after {time.perf_counter() - begin:.1f} s")
            measure(f"{WORKERS} workers", Cluster(crew.client))


if __name__ == "__main__":
    main()
