"""How fast answers come, in this process: one incident, a few, and a batch of 100,000.

    python benchmarks/prediction.py BUNDLE [batch rows]

First how long a bundle takes to be read and checked. Then the model alone, from incidents as
arrays to probabilities, for the 1, 8 and 64 that stand together on the request path, on one
thread. Then one incident from raw dictionary with the portal's headings to finished answer.
Last the batch, simulated rows in memory, on one thread and on all cores. All answers must be
the same to the last bit however many are asked for together, or the program fails.

Where the kernel was compiled it answers, and what NumPy alone takes stands beside it.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from crimeguard.cores import cores
from crimeguard.domain.incident import Incident
from crimeguard.features.columns import Columns, Floats
from crimeguard.ingest.frame import canonical
from crimeguard.ingest.simulator import simulate
from crimeguard.registry.bundle import Bundle
from crimeguard.registry.golden import load_checked
from crimeguard.serve.chunks import ROWS
from crimeguard.serve.predictor import Predictor
from crimeguard.serve.scoring import score_rows
from crimeguard.train.model import Model

Answer = Callable[[Columns], Floats]

SINGLES = 2_000
TOGETHER = (1, 8, 64)
ROUNDS = 5


def main() -> None:
    bundle = _load(Path(sys.argv[1]))
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    raw = pl.concat(simulate(rows, seed=11))
    columns = Columns.from_frame(canonical(raw).require_clean("the simulated rows"))
    model = bundle.model
    for size in TOGETHER:
        _together("NumPy alone", model.reference, columns, size)
    found = [_together(_engine(model), model.probabilities, columns, size) for size in TOGETHER]
    found.append(_singles(Predictor(bundle), raw.head(SINGLES).to_dicts()))
    _batch("NumPy alone, one thread", rows, lambda: _one_thread(model.reference, columns))
    alone = _batch("one thread", rows, lambda: _one_thread(model.probabilities, columns))
    batch = _batch(f"{cores()} threads", rows, lambda: score_rows(model, columns))
    found.append(alone)
    if any(answers.tobytes() != batch[: len(answers)].tobytes() for answers in found):
        raise SystemExit("alone, a few together and in a batch, an incident's answers differ")
    print("alone, a few together and in a batch: the same answers to the last bit")


def _load(path: Path) -> Bundle:
    begin = time.perf_counter()
    bundle = load_checked(path)
    print(f"{platform.machine()}, CPython {platform.python_version()}, bundle {bundle.version}, "
          f"{bundle.size / 1e6:.1f} MB, read and checked in "
          f"{1e3 * (time.perf_counter() - begin):.0f} ms")  # fmt: skip
    return bundle


def _engine(model: Model) -> str:
    return "model alone (NumPy)" if model.kernel is None else "model alone (kernel)"


def _together(name: str, answer: Answer, columns: Columns, size: int) -> Floats:
    """Time the first SINGLES rows in groups of `size`."""
    starts = range(0, SINGLES, size)
    groups = [columns.rows(start, min(start + size, SINGLES)) for start in starts]
    answer(groups[0])
    times, answers = [], []
    for group in groups:
        begin = time.perf_counter()
        answers.append(answer(group))
        times.append(time.perf_counter() - begin)
    print(f"{name}, {size:2d} together: {_cuts(times)}")
    return np.concatenate(answers)


def _singles(predictor: Predictor, records: list[dict[str, str]]) -> Floats:
    predictor.predict([Incident.from_record(records[0])])
    times, answers = [], []
    for record in records:
        begin = time.perf_counter()
        answer = predictor.predict([Incident.from_record(record)])[0]
        times.append(time.perf_counter() - begin)
        answers.append(list(answer.probabilities.values()))
    print(f"one incident, dictionary to answer: {_cuts(times)}")
    return np.array(answers)


def _cuts(times: list[float]) -> str:
    cuts = statistics.quantiles(times, n=100)
    return (f"median {1e3 * statistics.median(times):.2f} ms, p95 {1e3 * cuts[94]:.2f} ms, "
            f"p99 {1e3 * cuts[98]:.2f} ms ({len(times):,} times)")  # fmt: skip


def _one_thread(answer: Answer, columns: Columns) -> Floats:
    steps = range(0, len(columns), ROWS)
    return np.concatenate([answer(columns.rows(at, min(at + ROWS, len(columns)))) for at in steps])


def _batch(name: str, rows: int, score: Callable[[], Floats]) -> Floats:
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        answers = score()
        times.append(time.perf_counter() - begin)
    best = min(times)
    print(f"batch of {rows:,}, {name}: {best:.2f} s, {rows / best:,.0f} rows/s "
          f"(best of {ROUNDS})")  # fmt: skip
    return answers


if __name__ == "__main__":
    main()
