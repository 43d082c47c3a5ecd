"""What a search for parameters loses or repeats that is killed again and again: nothing.

    python -m benchmarks.tuning [trials [kills [seed]]]

Simulated incidents, and a model small enough that a trial takes seconds. The search is run
once to its end. Then the same one runs in another folder and is killed with signal 9 at moments
of chance, some of them while it starts, and begun again by the same command. Whatever had
finished before a kill must be there at the end as it was, there must be exactly as many finished
trials as asked for, each the same as in the search that nobody killed, and MLflow must show each
of them once; or the program fails.
"""

from __future__ import annotations

import os
import platform
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl
from tests.train.killed import SMALL, SPACE, Kept, complete, finished, killed, lost, trials

from crimeguard.ingest.simulator import simulate
from crimeguard.settings import Settings

ROWS = 3_000


def main() -> None:
    numbers = [int(word) for word in sys.argv[1:]]
    count, kills, seed = (*numbers, *(30, 8, 6)[len(numbers) :])
    chance = random.Random(seed)
    print(f"{platform.machine()}, {os.cpu_count()} cores, CPython {platform.python_version()}, "
          f"{time.strftime('%d %B %Y')}")  # fmt: skip
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        words = _inputs(folder, count)
        start = time.monotonic()
        alone = complete(words, folder / "alone")
        seconds = time.monotonic() - start
        print(f"{alone['finished']} trials on {ROWS:,} incidents, not killed: {seconds:.0f} s, "
              f"{alone['pruned']} pruned")  # fmt: skip
        home = folder / "killed"
        gone = _kill(words, home, kills, chance, seconds / count)
        before = trials(home)
        told = complete(words, home)
        gone += lost(before, trials(home))
        failed = _compare(finished(folder / "alone"), finished(home), count)
        shown, parents = _shown(home)
        print(f"{told['finished']} finished, {told['failed']} cut off and done again; "
              f"{len(gone)} lost, {failed} other than in the search that was not killed; "
              f"in MLflow {len(shown)} nested in {parents}")  # fmt: skip
        print(f"best log-loss {told['best']['log_loss']:.4f}, not killed "
              f"{alone['best']['log_loss']:.4f}; proposed: {told['proposed']}")  # fmt: skip
        numbers = [item.number for item in finished(home)]
        if gone or failed or shown != numbers or parents != 1 or len(numbers) != count:
            raise SystemExit(1)


def _inputs(folder: Path, count: int) -> list[object]:
    import datetime as dt

    rows = simulate(ROWS, seed=3, start=dt.date(2023, 1, 1), end=dt.date(2023, 2, 28))
    pl.concat(rows).write_parquet(folder / "rows.parquet")
    (folder / "params.yaml").write_text(SMALL)
    (folder / "space.csv").write_text(SPACE)
    return ["--data", folder / "rows.parquet", "--params", folder / "params.yaml",
            "--space", folder / "space.csv", "--trials", count]  # fmt: skip


def _kill(
    words: list[object], home: Path, kills: int, chance: random.Random, pace: float
) -> list[Kept]:
    """Kill as often as asked; return what was lost in between. `pace` is seconds a trial."""
    gone: list[Kept] = []
    for number in range(kills):
        before = trials(home)
        more = chance.randint(0, 5)
        seconds = chance.uniform(0, 1.5 * pace) if more else chance.uniform(0, 12)
        end = killed(words, home, more, seconds)
        gone += lost(before, trials(home))
        when = f"{seconds:.2f} s after {f'{more} more trials' if more else 'the start'}"
        print(f"kill {number + 1}, {when}: {end.finished} finished, {end.running} running"
              f"{'' if end.died else ' (had ended)'}", flush=True)  # fmt: skip
    return gone


def _compare(alone: list[Kept], other: list[Kept], count: int) -> int:
    """Count the trials that differ, in their order: values, losses, and whether pruned."""
    same = sum(
        (one.values, one.days, one.state) == (two.values, two.days, two.state)
        for one, two in zip(alone, other, strict=False)
    )
    return max(count, len(other)) - same


def _shown(home: Path) -> tuple[list[int], int]:
    """Return the numbers of the finished nested runs, and how many parents they have."""
    from crimeguard.registry.store import open_registry

    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    open_registry(Settings(home=home))
    from mlflow import MlflowClient

    client = MlflowClient(Settings(home=home).tracking_uri)
    place: Any = client.get_experiment_by_name("crimeguard-tuning")
    runs = client.search_runs([place.experiment_id])
    nested = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    done = [int(run.data.tags["crimeguard.trial"]) for run in nested
            if run.info.status == "FINISHED"]  # fmt: skip
    return sorted(done), len(runs) - len(nested)


if __name__ == "__main__":
    main()
