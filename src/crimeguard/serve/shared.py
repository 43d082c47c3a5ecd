"""The metrics of several worker processes as those of one server.

Counters and histograms live in small files that each worker maps into memory: what was
counted outlives the process that counted it, and the one that takes its place counts on. What
is only true while a process lives (gauges) each writes down every second, and the
supervisor throws away with the process. Whichever worker is asked answers for all.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import orjson
from prometheus_client import CollectorRegistry, generate_latest, values
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

EVERY: Final = 1.0  # seconds between two notes of a worker
_FRESH: Final = 15.0  # seconds; a worker that has written nothing for so long hangs
_ROOM: Final = 1 << 19  # bytes; what the series of a worker need several times over
_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own name
# What gauges of several processes are together; the largest, where nothing is said.
_SUMS: Final = frozenset({
    "crimeguard_workers", "crimeguard_log_waiting_rows", "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
})  # fmt: skip
_SMALLEST: Final = frozenset({
    "crimeguard_ready", "crimeguard_bundle_loaded_timestamp_seconds",
    "crimeguard_registry_last_success_timestamp_seconds", "process_max_fds",
    "process_start_time_seconds",
})  # fmt: skip
# Parts of one verdict, which must not be mixed with those of another.
_VERDICT: Final = ("crimeguard_drift_", "crimeguard_accuracy", "crimeguard_verdict_")
_VERDICT_TIME: Final = "crimeguard_verdict_timestamp_seconds"

_Labels = tuple[tuple[str, str], ...]


class Note:
    """What the collectors of one process told at one moment."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self.families = {family.name: family for family in families}

    @property
    def verdict_at(self) -> float:
        """When the verdict was made that the process knows, 0 if it knows none."""
        family = self.families.get(_VERDICT_TIME)
        return family.samples[0].value if family is not None and family.samples else 0.0

    def dump(self) -> bytes:
        """Write it as JSON."""
        return orjson.dumps([
            [family.name, family.documentation, family.type,
             [[sample.name, sample.labels, sample.value] for sample in family.samples]]
            for family in self.families.values()
        ])  # fmt: skip

    @classmethod
    def parse(cls, text: bytes) -> Note:
        """Read what `dump` wrote."""
        return cls(_family(*item) for item in orjson.loads(text))


class Shared(Collector):
    """The metrics of all workers that share a folder.

    Made before any metric of the process: it decides where values live.

    Parameters
    ----------
    folder
        Private to one server; its supervisor makes and removes it.
    place
        Which worker this is, from 0. Who takes the place of another counts on.
    """

    def __init__(self, folder: Path, place: int) -> None:
        self._folder = folder
        self._place = place
        os.environ[_FOLDER] = str(folder)
        # The library's own way of telling processes apart by something else than their pid.
        values.ValueClass = values.MultiProcessValue(lambda: place)  # type: ignore[no-untyped-call]
        for kind in ("counter", "histogram", "gauge_livesum"):
            _reserve(folder / f"{kind}_{place}.db")
        self._registry = CollectorRegistry()
        self._files = MultiProcessCollector(None, str(folder))  # type: ignore[no-untyped-call]
        self._registry.register(self)
        self._counted: dict[tuple[str, _Labels], tuple[Any, float]] = {}
        self._mine = Note(())

    def publish(self, collectors: Iterable[Collector]) -> None:
        """Write down what this process tells now."""
        self._take(collectors)
        path = _note(self._folder, self._place)
        new = path.with_suffix(".new")
        new.write_bytes(self._mine.dump())
        new.replace(path)

    def exposition(self, collectors: Iterable[Collector]) -> bytes:
        """Return the metrics of all workers in Prometheus' text format."""
        self._take(collectors)
        return generate_latest(self._registry)

    def describe(self) -> Iterator[Metric]:
        """Return nothing: the registry need not ask before Prometheus does."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Return what all workers have counted, and what those who live tell."""
        yield from self._files.collect()  # type: ignore[no-untyped-call]
        yield from merged([self._mine, *self._others()])

    def _others(self) -> Iterator[Note]:
        mine = _note(self._folder, self._place)
        for path in sorted(self._folder.glob(_note(self._folder, "*").name)):
            try:
                if path != mine and time.time() - path.stat().st_mtime < _FRESH:
                    yield Note.parse(path.read_bytes())
            except FileNotFoundError:
                continue  # its worker has just died

    def _take(self, collectors: Iterable[Collector]) -> None:
        told = [family for collector in collectors for family in collector.collect()]
        for family in told:
            if family.type == "counter":
                self._count_on(family)
        self._mine = Note(family for family in told if family.type != "counter")

    def _count_on(self, counter: Metric) -> None:
        """Add what a collector has counted since it was asked last to a value that stays."""
        for sample in counter.samples:
            labels = tuple(sorted(sample.labels.items()))
            value, before = self._counted.get((sample.name, labels), (None, 0.0))
            if value is None:
                names, given = [name for name, _ in labels], [text for _, text in labels]
                value = values.ValueClass(
                    "counter", counter.name, sample.name, names, given, counter.documentation
                )
            value.inc(max(0.0, sample.value - before))
            self._counted[sample.name, labels] = (value, sample.value)


def _reserve(path: Path) -> None:
    """Take the room that values need: a file in memory without any would end the process."""
    if not path.exists():
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, _ROOM)


def came_up(folder: Path, place: int) -> bool:
    """Whether the worker of a place has told how it is."""
    return _note(folder, place).exists()


def forget(folder: Path, place: int) -> None:
    """Throw away what was only true while the worker of a place lived."""
    _note(folder, place).unlink(missing_ok=True)
    for path in folder.glob(f"gauge_live*_{place}.db"):
        path.unlink(missing_ok=True)


def merged(notes: Iterable[Note]) -> Iterator[Metric]:
    """Return the gauges of several processes as those of one."""
    known = sorted(notes, key=lambda note: note.verdict_at)
    names = dict.fromkeys(name for note in known for name in note.families)
    for name in names:
        # The newest verdict is the last; of the others all have a say.
        heard = known[-1:] if name.startswith(_VERDICT) else known
        families = [note.families[name] for note in heard if name in note.families]
        if families:
            yield _merge(name, families)


def _merge(name: str, families: list[Metric]) -> Metric:
    merge = sum if name in _SUMS else min if name in _SMALLEST else max
    found: dict[tuple[str, _Labels], list[float]] = {}
    for family in families:
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            found.setdefault(key, []).append(sample.value)
    samples = [[sample, dict(labels), merge(given)] for (sample, labels), given in found.items()]
    return _family(name, families[0].documentation, families[0].type, samples)


def _family(name: str, documentation: str, kind: str, samples: list[Any]) -> Metric:
    family = Metric(name, documentation, kind)
    for sample, labels, value in samples:
        family.add_sample(sample, labels, value)
    return family


def _note(folder: Path, place: int | str) -> Path:
    return folder / f"told-{place}.json"
