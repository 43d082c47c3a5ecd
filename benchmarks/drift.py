"""False alarms and power of the drift verdict: the tables of docs/monitoring.md.

    CRIMEGUARD_REALDATA=... python benchmarks/drift.py [--quick]

Champions are trained on simulated January and February 2023 and judged on the first half
of March, as `crimeguard train` does. Windows are weeks of March of the simulator under
other seeds, with nothing changed (200), and with each named drift from their first day on
(40 runs at the stated strength, 20 at others). With the real rows at hand also: weeks of
real March, and West LA 2020-21, against a champion of real January and February.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from crimeguard.domain.level import InformationLevel
from crimeguard.evaluate.reference import Reference, make_reference
from crimeguard.features.columns import Columns
from crimeguard.ingest.drift import CATALOGUE, Drift
from crimeguard.ingest.frame import canonical
from crimeguard.ingest.simulator import simulate
from crimeguard.ingest.source import read_file
from crimeguard.monitor.observed import Observed
from crimeguard.monitor.verdict import Verdict, judge_window
from crimeguard.serve.scoring import score_rows
from crimeguard.train.fit import fit_model, targets
from crimeguard.train.model import Model
from crimeguard.train.params import MonitorParams, Params, load_params
from crimeguard.train.split import split_by_time

TRAIN_UNTIL, TEST_UNTIL = dt.date(2023, 2, 28), dt.date(2023, 3, 14)
ROWS_A_DAY = 500
WEEK = 7
STRENGTHS = (0.1, 0.25, 0.5, 0.75, 1.0)
PARAMS = MonitorParams(maturity_days=0)


@dataclass(frozen=True, slots=True)
class Champion:
    """A model and its reference."""

    model: Model
    reference: Reference

    def judge(self, frame: pl.DataFrame, params: MonitorParams = PARAMS) -> Verdict:
        """Answer a window, and hold it against the reference."""
        return judge_window(self.reference, self.observe(frame), params)

    def observe(self, frame: pl.DataFrame) -> Observed:
        """Answer a window whose labels are all known."""
        columns = Columns.from_frame(frame)
        probabilities = score_rows(self.model, columns)
        return Observed.of(frame, columns.level, probabilities, targets(frame))


def main() -> None:
    quick = "--quick" in sys.argv
    params = load_params(Path(__file__).parents[1] / "params.yaml")
    params = replace(params, xgboost=replace(params.xgboost, rounds=20),
                     linear=replace(params.linear, iterations=40))  # fmt: skip
    print(f"{platform.machine()}, {os.cpu_count()} cores, {dt.datetime.now(dt.UTC).date()}")
    champion = _champion(_simulated(73 * ROWS_A_DAY, 1, dt.date(2023, 1, 1), TEST_UNTIL), params)
    stationary(champion, 40 if quick else 200)
    later = TEST_UNTIL + dt.timedelta(1)
    without = _simulated(
        74 * ROWS_A_DAY, 2, dt.date(2023, 1, 1), later, [Drift("new_category", 1.0, later)]
    )
    blind = _champion(without, params)
    power(champion, blind, 5 if quick else 40, 3 if quick else 20)
    if "CRIMEGUARD_REALDATA" in os.environ:
        real(params, Path(os.environ["CRIMEGUARD_REALDATA"]))


def stationary(champion: Champion, windows: int) -> None:
    """Print how often nothing at all is taken for a drift, and whether CBPE holds."""
    begin = time.perf_counter()
    frames = [_week(seed) for seed in range(1000, 1000 + windows)]
    verdicts = [champion.judge(frame) for frame in frames]
    _alarms("simulated, nothing changed", verdicts)
    print(f"  {windows} windows in {time.perf_counter() - begin:.0f} s")


def power(champion: Champion, blind: Champion, stated: int, others: int) -> None:
    """Print the share of windows that are critical, by drift and strength."""
    print(f"\nshare of windows found critical: {stated} runs at the stated strength, "
          f"{others} at others")  # fmt: skip
    heads = " | ".join(f"{value:g}" for value in STRENGTHS)
    print(f"| drift | stated | found | {heads} | named first | CBPE holds |")
    for name, kind in CATALOGUE.items():
        judge = blind if name == "new_category" else champion
        found = [judge.judge(_week(2000 + run, Drift(name, kind.usual))) for run in range(stated)]
        cells = [
            _critical([judge.judge(_week(3000 + run, Drift(name, strength)))
                       for run in range(others)])
            for strength in STRENGTHS
        ]  # fmt: skip
        named = Counter(item.name for verdict in found for item in verdict.drifted[:3])
        top = ", ".join(item for item, _ in named.most_common(3))
        holds = np.mean([_inside(verdict) for verdict in found])
        print(f"| {name} | {kind.usual:g} | {_critical(found)} | {' | '.join(cells)} | {top} "
              f"| {holds:.0%} |", flush=True)  # fmt: skip


def real(params: Params, folder: Path) -> None:
    """Print the same for real rows."""
    path = folder / "la_2023q1.parquet"
    frame = read_file(path).require_clean(path.name)
    begin = time.perf_counter()
    champion = _champion(frame.filter(pl.col("date_occ") <= TEST_UNTIL), params)
    print(f"\nchampion of real rows in {time.perf_counter() - begin:.0f} s")
    march = frame.filter(pl.col("date_occ").is_between(dt.date(2023, 3, 1), dt.date(2023, 3, 31)))
    windows = [
        march.filter(pl.col("date_occ").is_between(day, day + dt.timedelta(WEEK - 1)))
        for day in pl.date_range(dt.date(2023, 3, 1), dt.date(2023, 3, 25), eager=True)
    ]
    rng = np.random.default_rng(0)
    windows += [march[np.sort(rng.permutation(march.height)[:2000])] for _ in range(175)]
    # A part of March is missing from this file on purpose, so its volume says nothing.
    quiet = replace(PARAMS, volume=False)
    _alarms("real March (25 weeks, 175 samples of 2,000)", [
        champion.judge(window, quiet) for window in windows
    ])  # fmt: skip
    path = folder / "la_westla_2020_2021.parquet"
    verdict = champion.judge(read_file(path).require_clean(path.name))
    print(f"West LA 2020-21: {verdict.status}, score {verdict.score:.2f}")
    for item in verdict.drifted:
        print(f"  {item.name} {item.score:.2f} ({item.words})")


def _alarms(name: str, verdicts: Sequence[Verdict]) -> None:
    critical = [verdict for verdict in verdicts if verdict.status == "critical"]
    warned = sum(verdict.status == "warning" for verdict in verdicts)
    inside = np.mean([_inside(verdict) for verdict in verdicts])
    print(f"{name}: {len(critical)} of {len(verdicts)} critical "
          f"({len(critical) / len(verdicts):.1%}), {warned} warnings; largest score "
          f"{max(verdict.score for verdict in verdicts):.2f}; realised accuracy inside CBPE's "
          f"interval in {inside:.1%}")  # fmt: skip
    named = Counter(item.name for verdict in critical for item in verdict.drifted)
    top = Counter(max(verdict.components, key=lambda item: item.score).name for verdict in verdicts)
    print(f"  critical: {dict(named)}; largest component: {dict(top.most_common(5))}")


def _inside(verdict: Verdict) -> bool:
    performance = verdict.performance
    assert performance is not None
    assert performance.realised is not None
    estimated = performance.estimated
    return estimated.low <= performance.realised.value <= estimated.high


def _critical(verdicts: Sequence[Verdict]) -> str:
    return f"{np.mean([verdict.status == 'critical' for verdict in verdicts]):.0%}"


def _week(seed: int, drift: Drift | None = None) -> pl.DataFrame:
    """Simulate a week of March; its first day moves with the seed."""
    start = dt.date(2023, 3, 15) + dt.timedelta(seed % 10)
    drifts = [] if drift is None else [Drift(drift.name, drift.strength, start)]
    volume = drifts[0].effect.volume if drifts else 1.0
    rows = round(WEEK * ROWS_A_DAY * volume)
    return _simulated(rows, seed, start, start + dt.timedelta(WEEK - 1), drifts)


def _simulated(
    rows: int, seed: int, start: dt.date, end: dt.date, drifts: Sequence[Drift] = ()
) -> pl.DataFrame:
    raw = pl.concat(simulate(rows, seed=seed, start=start, end=end, drifts=drifts))
    return canonical(raw).require_clean("the simulated rows")


def _champion(frame: pl.DataFrame, params: Params) -> Champion:
    split = split_by_time(frame, params.split, TRAIN_UNTIL, TEST_UNTIL)
    model = fit_model(split.train, split.train_until, params)

    def probabilities(level: InformationLevel) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return score_rows(model, Columns.from_frame(split.test, level=level))

    reference = make_reference(
        split.train, targets(split.train), split.test, targets(split.test), probabilities
    )
    return Champion(model, reference)


if __name__ == "__main__":
    main()
