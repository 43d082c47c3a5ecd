"""From a raw CSV of many rows to a registered model: time and memory, stage by stage.

    python benchmarks/scale.py [rows] [--ingest | --whole] [--params FILE] [--keep FOLDER]

Simulates so many rows of 2020 to 2023 as CSV (1,000,000 unless told otherwise; kept in FOLDER
if one is named, and taken from there the next time). `--ingest` compares what becomes a
snapshot with a bare Polars scan-and-sink of the same file, each in a process of its own, in
turns, the least of three. `--whole` goes the way of `crimeguard train`, in one process: what
the libraries' own fits take of it is the bare time. Without either, both.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

ROUNDS = 3
BARE = """
import sys, polars
polars.scan_csv(sys.argv[1]).sink_parquet(sys.argv[2] + "/bare.parquet")
"""
INGEST = """
import sys
from pathlib import Path
from crimeguard.ingest.snapshot import write_snapshot
from crimeguard.ingest.source import read_file
raw, home = map(Path, sys.argv[1:])
frame = read_file(raw).require_clean(raw.name)
write_snapshot(frame, home, source=raw.name, files=[raw])
"""
PREPARE = """
import sys
from pathlib import Path
from crimeguard.pipeline import prepare
prepare(Path(sys.argv[1]), Path(sys.argv[2]))
"""
TIMED = """
import json, resource, runpy, sys, time
{imports}
begin = time.perf_counter()
{program}
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([time.perf_counter() - begin, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--ingest", action="store_true")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--params", type=Path)
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, {asked.rows:,} rows, "
          f"load {os.getloadavg()[0]:.1f} at the start")  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="crimeguard-scale-") as name:
        raw = _raw(asked.rows, asked.keep or Path(name))
        if asked.ingest or not asked.whole:
            ingest(raw, Path(name))
        if asked.whole or not asked.ingest:
            whole(raw, Path(name) / "home", asked.rows, asked.params)


def _raw(rows: int, folder: Path) -> Path:
    import datetime as dt

    from crimeguard.ingest.simulator import simulate
    from crimeguard.ingest.writer import write_export

    path = folder / f"rows-{rows}.csv"
    if not path.exists():
        begin = time.perf_counter()
        first, last = dt.date(2020, 1, 1), dt.date(2023, 12, 31)
        write_export(simulate(rows, seed=1, start=first, end=last), path)
        print(f"simulated in {time.perf_counter() - begin:.1f} s, {path.stat().st_size / 1e6:,.0f} "
              "MB")  # fmt: skip
    return path


def ingest(raw: Path, folder: Path) -> None:
    """Compare the way to a snapshot with a bare one to Parquet."""
    programs = {"bare scan and sink": BARE, "CSV to snapshot": INGEST, "with validation": PREPARE}
    taken: dict[str, list[list[float]]] = {name: [] for name in programs}
    for number in range(ROUNDS):
        for name, program in programs.items():
            home = folder / f"{number}-{name.replace(' ', '-')}"
            home.mkdir()
            taken[name].append(_timed(program, raw, home))
    bare = min(seconds for seconds, _, _ in taken["bare scan and sink"])
    print(f"\n{'':24}{'seconds':>9}{'ratio':>8}{'CPU s':>8}{'peak MB':>9}   (least of {ROUNDS})")
    for name, figures in taken.items():
        seconds, cpu, memory = map(min, zip(*figures, strict=True))
        print(f"{name:24}{seconds:9.2f}{seconds / bare:8.2f}{cpu:8.1f}{memory / 1024:9,.0f}")


def _timed(program: str, raw: Path, home: Path) -> list[float]:
    """Run a program in a process of its own; return seconds, processor seconds, peak in kB.

    What it imports is loaded before the clock starts.
    """
    lines = program.strip().splitlines()
    imports = "\n".join(line for line in lines if line.startswith(("import", "from")))
    if program is PREPARE:
        imports += "\nimport pandera.polars"
    rest = "\n".join(line for line in lines if not line.startswith(("import", "from")))
    code = TIMED.format(imports=imports, program=rest)
    command = [sys.executable, "-c", code, str(raw), str(home)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures: list[float] = json.loads(told.splitlines()[-1])
    return figures


@dataclass
class Watch:
    """When what ran, by name; calls in several threads may overlap.

    By the clock on the wall, and by the processor time of this process.
    """

    spans: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    work: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    peaks: dict[str, float] = field(default_factory=dict)

    def timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call, with a note of when it ran."""

        def run(*args: Any, **kwargs: Any) -> Any:
            begin, used = time.perf_counter(), processor()
            try:
                return call(*args, **kwargs)
            finally:
                self.spans.setdefault(name, []).append((begin, time.perf_counter()))
                self.work.setdefault(name, []).append((used, processor()))
                self.peaks[name] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

        return run

    def seconds(self, *names: str) -> float:
        """Return the time in which any of these ran."""
        return self._union(self.spans, names)

    def processor_seconds(self, *names: str) -> float:
        """Return the processor time of that time."""
        return self._union(self.work, names)

    @staticmethod
    def _union(spans: dict[str, list[tuple[float, float]]], names: tuple[str, ...]) -> float:
        total, end = 0.0, 0.0
        for start, stop in sorted(span for name in names for span in spans.get(name, [])):
            total += max(0.0, stop - max(start, end))
            end = max(end, stop)
        return total


def processor() -> float:
    """Return the processor seconds of this process and of the children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


STAGES = {
    "read and repair": "crimeguard.pipeline.read_file",
    "validate": "crimeguard.pipeline.validate_reading",
    "store the snapshot": "crimeguard.pipeline.write_snapshot",
    "split and sample": "crimeguard.pipeline.split_by_time",
    "fit": "crimeguard.pipeline.fit_model",
    "score": "crimeguard.pipeline.evaluate_model",
    "reference profile": "crimeguard.pipeline._reference",
    "bundle": "crimeguard.pipeline.write_bundle",
    "report": "crimeguard.pipeline._write_reports",
    "register": "crimeguard.pipeline.register",
    "gates": "crimeguard.registry.judging.Court.judge",
    "promote": "crimeguard.registry.life.promote",
}
FITS = {
    "linear": "scipy.optimize.minimize",
    "XGBoost": "xgboost.train",
    "XGBoost's table": "xgboost.DMatrix.__init__",
    "LightGBM": "lightgbm.train",
    "neural": "sklearn.neural_network.MLPClassifier.fit",
}


def whole(raw: Path, home: Path, rows: int, params: Path | None) -> None:
    """Go from the CSV to a registered and judged version, and print where the time went."""
    from crimeguard.cli.train import run
    from crimeguard.settings import Settings
    from crimeguard.train.params import load_params

    watch = Watch()
    begin, used = time.perf_counter(), processor()
    with _watched(watch, {**STAGES, **FITS}):
        outcome = run(raw, Settings(home=home), load_params(params), quiet=True)
    total, used = time.perf_counter() - begin, processor() - used
    print(f"\ntrained on {outcome['train_rows']:,} ({outcome['train_sample']}), scored on "
          f"{outcome['test_rows']:,}; version {outcome['version']} is in "
          f"{outcome['stage']}")  # fmt: skip
    print(f"{'stage':26}{'seconds':>9}{'CPU s':>9}{'peak MB':>9}")
    for name in STAGES:
        _tell(name, watch.seconds(name), watch.processor_seconds(name), watch.peaks.get(name, 0))
        if name == "fit":
            for part in FITS:
                _tell("  " + part, watch.seconds(part), watch.processor_seconds(part))
    _tell(
        "everything else", total - watch.seconds(*STAGES), used - watch.processor_seconds(*STAGES)
    )
    _tell("raw to registered", total, used)
    fits, work = watch.seconds(*FITS), watch.processor_seconds(*FITS)
    _tell("the bare fits", fits, work)
    print(f"a row takes {1e6 * total / rows:,.0f} us, {1e6 * used / rows:,.0f} of a processor; all "
          f"takes {total / fits:.2f} times the bare fits (by processor time {used / work:.2f}), "
          f"the fit alone {watch.seconds('fit') / fits:.2f}")  # fmt: skip
    scores = {name: round(value, 4) for name, value in outcome["metrics"].items()
              if name.startswith("report_")}  # fmt: skip
    print(f"at level report: {scores}")


def _tell(name: str, seconds: float, work: float, peak: float = 0) -> None:
    print(f"{name:26}{seconds:9.1f}{work:9.1f}" + (f"{peak:9,.0f}" if peak else ""))


@contextmanager
def _watched(watch: Watch, targets: dict[str, str]) -> Iterator[None]:
    from importlib import import_module
    from pkgutil import resolve_name

    with ExitStack() as stack:
        for name, target in targets.items():
            owner, _, attribute = target.rpartition(".")
            holder = resolve_name(owner) if "." in owner else import_module(owner)
            timed = watch.timed(name, getattr(holder, attribute))
            stack.enter_context(mock.patch.object(holder, attribute, timed))
        yield


if __name__ == "__main__":
    main()
