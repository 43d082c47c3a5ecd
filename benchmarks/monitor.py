"""How long a verdict on the prediction log takes, in a process of its own.

    python -m benchmarks.monitor [rows]

Logs `rows` (100,000) simulated incidents of the last seven days, as a small champion
answers them, into a fresh SQLite database, and times the whole `crimeguard monitor`. Then
as many again of the week before, all with labels, as they are in a service that has run
for a while: both are read then. At last the same with Evidently's page. Bytecode is
compiled before, as it is where the package is installed; the first start of all takes
some seconds more.
"""

from __future__ import annotations

import datetime as dt
import multiprocessing
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

BOUND = 15.0  # seconds without the page
DRIFT_FOUND = 4
DAY = dt.timedelta(days=1)
PARTS = 14  # of a week's rows, each logged at a time of its own


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    print(f"{platform.machine()}, {os.cpu_count()} cores, CPython {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        # What is large happens in children: a process is told its parent's peak as its own.
        _apart(_make_champion, home)
        _run(home, "--data", str(home / "some.csv"))
        _apart(_log, home, rows, 0, False)
        seconds = [_monitor(home, f"{rows:,} logged", "--no-evidently")]
        _apart(_log, home, rows, 7, True)
        seconds.append(_monitor(home, f"and {rows:,} older with labels", "--no-evidently"))
        _monitor(home, "the same with Evidently's page", "--evidently")
    if max(seconds) >= BOUND:
        raise SystemExit(f"more than {BOUND:.0f} s")


def _apart(target: Callable[..., None], *args: object) -> None:
    process = multiprocessing.get_context("spawn").Process(target=target, args=args)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(process.exitcode)


def _make_champion(home: Path) -> None:
    from tests.conftest import TINY

    from crimeguard import pipeline
    from crimeguard.ingest.snapshot import write_snapshot
    from crimeguard.registry.store import Registry
    from crimeguard.settings import Settings
    from crimeguard.train.params import params_from_dict

    snapshot = write_snapshot(_simulated(20_000, 1), home, source="the simulator")
    trained = pipeline.train(snapshot, params_from_dict(TINY, source="the tests"), home)
    settings = Settings(home=home)
    registry = Registry(settings.tracking_uri, artifacts=home / "mlflow" / "artifacts")
    registry.promote(pipeline.register(trained, snapshot, registry))
    _simulated(1_000, 3).drop("mocodes").write_csv(home / "some.csv")


def _log(home: Path, rows: int, days_ago: int, labelled: bool) -> None:
    from crimeguard.domain.category import CATEGORIES
    from crimeguard.domain.incident import INCIDENT_FIELDS
    from crimeguard.features.columns import Columns
    from crimeguard.records.database import open_database
    from crimeguard.records.entry import entries_of
    from crimeguard.records.labels import Label, add_labels
    from crimeguard.records.moment import to_moment
    from crimeguard.records.prediction_log import PredictionLog
    from crimeguard.registry.bundle import Bundle
    from crimeguard.settings import Settings
    from crimeguard.train.fit import targets

    bundle = Bundle.load(next((home / "bundles").iterdir()))
    frame = _simulated(rows, 2 + days_ago)
    until = dt.datetime.now(dt.UTC) - days_ago * DAY
    begin = time.perf_counter()
    database = open_database(Settings(home=home))
    with PredictionLog(database) as log:
        for number, start in enumerate(range(0, rows, -(-rows // PARTS))):
            part = frame.slice(start, -(-rows // PARTS))
            columns = Columns.from_frame(part)
            entries = entries_of(
                bundle.model.probabilities(columns), columns.level,
                part.select(INCIDENT_FIELDS).write_ndjson().split("\n")[:-1],
                bundle=bundle.sha256, dr_no=part["dr_no"],
                made_at=to_moment(until - (PARTS - number - 0.5) * 7 / PARTS * DAY),
            )  # fmt: skip
            log.submit(entries).result()
            if labelled:
                add_labels(database, [
                    Label(entry.id, CATEGORIES[place], None, "benchmark")
                    for entry, place in zip(entries, targets(part), strict=True)
                ])  # fmt: skip
    database.close()
    print(f"(answered and logged in {time.perf_counter() - begin:.0f} s)")


def _simulated(rows: int, seed: int) -> pl.DataFrame:
    import polars as pl

    from crimeguard.ingest.frame import canonical
    from crimeguard.ingest.simulator import simulate

    raw = pl.concat(simulate(rows, seed=seed))
    return canonical(raw).require_clean("the simulated rows")


def _monitor(home: Path, name: str, *words: str) -> float:
    """Run the verb on the log, and print its seconds and its peak memory."""
    seconds, usage = _run(home, *words)
    cpu = usage.ru_utime + usage.ru_stime
    print(f"{name}: {seconds:.1f} s ({cpu:.1f} s of processor), "
          f"{usage.ru_maxrss / 1024:,.0f} MB at most")  # fmt: skip
    return seconds


def _run(home: Path, *words: str) -> tuple[float, resource.struct_rusage]:
    begin = time.perf_counter()
    own = {
        "CRIMEGUARD_HOME": str(home), "CRIMEGUARD_RECORDS_URL": "",
        "PYTHONPYCACHEPREFIX": str(home / "bytecode"), "PYTHONDONTWRITEBYTECODE": "",
    }  # fmt: skip
    child = subprocess.Popen(
        [sys.executable, "-m", "crimeguard", "monitor", *words],
        env={**os.environ, **own}, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert child.stderr is not None
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in (0, DRIFT_FOUND):
        raise SystemExit(said)
    return time.perf_counter() - begin, usage


if __name__ == "__main__":
    main()
