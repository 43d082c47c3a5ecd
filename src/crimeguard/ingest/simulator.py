"""The simulator: incidents in the portal's 28-column form, drawn from a profile."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from crimeguard.domain.errors import UsageError
from crimeguard.ingest import coding
from crimeguard.ingest.drift import Drift
from crimeguard.ingest.engine import Engine, Phase
from crimeguard.ingest.export import Exporter, blank
from crimeguard.ingest.profile import Profile, default_profile
from crimeguard.ingest.table import Floats, Ints, Sampler

# Rows that are made at a time: at 50,000 the peak stays near 300 MB.
CHUNK: Final = 50_000


@dataclass(frozen=True, slots=True)
class Window:
    """Days of occurrence, both included, and a number of incidents that suits them."""

    start: dt.date
    end: dt.date
    rows: int


# What `crimeguard up` makes: the quarter that the packaged profile was fitted on.
DEFAULT_WINDOW: Final = Window(dt.date(2023, 1, 1), dt.date(2023, 3, 31), 60_000)


def simulate(
    rows: int,
    *,
    seed: int,
    start: dt.date = DEFAULT_WINDOW.start,
    end: dt.date = DEFAULT_WINDOW.end,
    profile: Profile | None = None,
    drifts: Sequence[Drift] = (),
    exported: dt.date | None = None,
) -> Iterator[pl.DataFrame]:
    """Draw incidents, in chunks of at most `CHUNK` rows.

    Parameters
    ----------
    rows : int
        Incidents in all, spread over the days as the profile says.
    seed : int
        The same arguments give the same rows, on every machine.
    start, end : datetime.date
        First and last day of occurrence; reports may come later.
    profile : Profile, optional
        What incidents look like; by default the packaged one of Los Angeles.
    drifts : sequence of Drift
        What changes on the way, and when. With strength 0 a drift is its own control:
        the same rows but for what the drift changes.
    exported : datetime.date, optional
        Day of the export: incidents reported later are not in it, so the last weeks are
        thinner and hold fewer of the kinds that are reported late, as in a live portal.
        By default the export is made when all reports are in.

    Yields
    ------
    polars.DataFrame
        The 28 columns of the portal's export, all text. Days of occurrence ascend; so do
        the times within a day, except in a day of more than `CHUNK` incidents.

    Raises
    ------
    UsageError
        If there are no rows or days to simulate, or a drift begins outside the days.
    """
    if rows < 1 or start > end or seed < 0:
        raise UsageError(
            f"{rows:,} incidents from {start} to {end} with seed {seed} cannot be simulated.",
            fix="Give at least one row, a last day not before the first, and no negative seed.",
        )
    days = (end - start).days + 1
    dated = tuple(_dated(drift, start, days) for drift in drifts)
    last = start + dt.timedelta(days=days + coding.LONGEST) if exported is None else exported
    if last < end:
        raise UsageError(f"An export of {last} cannot hold incidents until {end}.",
                         fix="Give a day of export that is not before the last day.")  # fmt: skip
    task = _Task(rows, seed, start, days, dated, (last - start).days)
    return _chunks(task, profile or default_profile())


@dataclass(frozen=True, slots=True)
class _Task:
    """What is to be simulated; days as positions from the first one."""

    rows: int
    seed: int
    start: dt.date
    days: int
    drifts: tuple[Drift, ...]
    exported: int


def _dated(drift: Drift, start: dt.date, days: int) -> Drift:
    begins = drift.start or start + dt.timedelta(days=days // 2)
    if not start <= begins < start + dt.timedelta(days=days):
        raise UsageError(f"The drift {drift.name} begins on {begins}, outside the simulated days.",
                         fix="Give a date between --from and --to.")  # fmt: skip
    return Drift(drift.name, drift.strength, begins)


def _chunks(task: _Task, profile: Profile) -> Iterator[pl.DataFrame]:
    engine, exporter = Engine(profile), Exporter(profile, task.start, task.days)
    calendar = [task.start + dt.timedelta(days=day) for day in range(task.days)]
    phases = [Phase.on(day, task.drifts) for day in calendar]
    weights = [
        engine.intensity(day, phases[place], task.exported - place)
        for place, day in enumerate(calendar)
    ]
    counts = _rows_by_day(_random(task.seed, 0), task.rows, np.array(weights))
    numbers = _Numbers()
    for number, (days, phase) in enumerate(_pieces(counts, phases, calendar)):
        rng = _random(task.seed, 1, number)
        drawn, mo = engine.draw(rng, days, calendar, phase, task.exported)
        areas = _areas(profile, drawn["area"])
        drawn["number"] = numbers.next(task.start, drawn["reported"], areas)
        yield _blanked(rng, exporter.frame(drawn, mo), phase)


def _random(*seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def _blanked(rng: np.random.Generator, frame: pl.DataFrame, phase: Phase) -> pl.DataFrame:
    for effect in phase.effects:
        if effect.blanked:
            hit = rng.integers(0, 1 << 32, frame.height, dtype=np.uint32)
            frame = blank(frame, sorted(effect.blanked), hit < effect.blank_share * (1 << 32))
    return frame


def _areas(profile: Profile, area: Ints) -> Ints:
    return np.array(profile.fields["area"].values, dtype=np.int64)[area]


def _rows_by_day(rng: np.random.Generator, rows: int, weights: Floats) -> Ints:
    """Draw a day for every incident and count; in slices, so that memory stays flat."""
    sampler = Sampler(weights[None, :])
    counts = np.zeros(len(weights), dtype=np.int64)
    for begin in range(0, rows, 1_000_000):
        size = min(1_000_000, rows - begin)
        drawn = sampler.draw(rng, np.zeros(size, dtype=np.int64))
        counts += np.bincount(drawn, minlength=len(weights))
    return counts


def _pieces(
    counts: Ints, phases: Sequence[Phase], calendar: Sequence[dt.date]
) -> Iterator[tuple[Ints, Phase]]:
    """Cut the days into runs of at most `CHUNK` rows of one phase and one year."""
    waiting: list[Ints] = []
    size = 0
    for day, count in enumerate(counts):
        changed = day > 0 and (
            phases[day] != phases[day - 1] or calendar[day].year != calendar[day - 1].year
        )
        if waiting and (changed or size + count > CHUNK):
            yield np.concatenate(waiting), phases[day - 1]
            waiting, size = [], 0
        for begin in range(0, int(count), CHUNK):
            if waiting and size + count - begin > CHUNK:
                yield np.concatenate(waiting), phases[day]
                waiting, size = [], 0
            piece = np.full(min(CHUNK, int(count) - begin), day, dtype=np.int64)
            waiting.append(piece)
            size += len(piece)
    if waiting:
        yield np.concatenate(waiting), phases[-1]


class _Numbers:
    """Hands out DR_NO in the portal's form: year of the report, area, running number."""

    def __init__(self) -> None:
        self._used: dict[int, int] = {}

    def next(self, start: dt.date, reported: Ints, areas: Ints) -> Ints:
        first = np.datetime64(start, "D")
        years = (first + reported).astype("datetime64[Y]").astype(np.int64) + 1970
        keys = years % 100 * 100 + areas
        order = np.argsort(keys, kind="stable")
        kinds, begins, sizes = np.unique(keys[order], return_index=True, return_counts=True)
        running = np.empty(len(keys), dtype=np.int64)
        for kind, begin, size in zip(kinds.tolist(), begins.tolist(), sizes.tolist(), strict=True):
            used = self._used.get(kind, 0)
            running[order[begin : begin + size]] = np.arange(used + 1, used + size + 1)
            self._used[kind] = used + size
        # Beyond 99,999 a year and area the number grows a digit, and stays unique.
        width = np.where(running < 100_000, 100_000, 10_000_000)
        return np.asarray(keys * width + running, dtype=np.int64)
