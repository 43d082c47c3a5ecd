"""How often each gate refuses a challenger that is as good as the champion.

    python benchmarks/gates.py [CHALLENGERS [ROWS [SEED]]] [--deepchecks] [--other-days]

The champion and every challenger are trained with params.yaml on stationary simulated
incidents and differ by the seed of the training alone, or with --other-days also by their
training rows: as many, of the same days, drawn anew. Each is judged on a newer hold-out of
its own, by the bounds of params.yaml. Whatever is refused is refused by mistake.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import polars as pl

from crimeguard.evaluate.evaluation import evaluate_model
from crimeguard.evaluate.gate import Case, Contender
from crimeguard.evaluate.gates import GATES, judge
from crimeguard.ingest.frame import canonical
from crimeguard.ingest.simulator import simulate
from crimeguard.train.fit import fit_model
from crimeguard.train.params import Params, load_params
from crimeguard.train.split import TimeSplit, split_by_time

FIRST, UNTIL, LAST = dt.date(2023, 1, 1), dt.date(2023, 2, 28), dt.date(2023, 3, 14)
SIZE = 10_000_000


def main() -> None:
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    challengers, rows, seed = (*numbers, *(10, 20_000, 1)[len(numbers) :])
    params = load_params(Path(__file__).parents[1] / "params.yaml")
    gates = replace(params.gates, deepchecks="--deepchecks" in sys.argv)
    params = replace(params, gates=gates)
    print(f"{platform.machine()}, {os.cpu_count()} cores, {dt.datetime.now(dt.UTC).date()}")
    first = _rows(rows, seed - 1, params)
    champion = _fit("champion", first, params)
    refused: Counter[str] = Counter()
    passed = 0
    for number in range(seed, seed + challengers):
        drawn = _rows(rows, number, params)
        train = drawn if "--other-days" in sys.argv else first
        rival = _fit("challenger", train, replace(params, seed=params.seed + number))
        begin = time.perf_counter()
        case = Case(rival, champion, train.train, drawn.test,
                    evaluate_model(rival.model, drawn.test, seed=params.seed), params)  # fmt: skip
        judgement = judge(case)
        refused.update(judgement.refused)
        passed += judgement.passed
        seconds = time.perf_counter() - begin
        print(
            f"{number}: trained on {drawn.train.height:,} rows, judged on {drawn.test.height:,} "
            f"in {seconds:.0f} s; {judgement.why or 'passed'}",
            flush=True,
        )
    for name in GATES:
        print(f"  {name:12s} refused {refused[name]} of {challengers}")
    print(f"  {passed} of {challengers} equal challengers passed every gate")


def _rows(rows: int, seed: int, params: Params) -> TimeSplit:
    raw = pl.concat(simulate(rows, seed=100 + seed, start=FIRST, end=LAST))
    # Portal numbers of different draws would be the same.
    numbered = canonical(raw).require_clean("the simulated rows")
    frame = numbered.with_columns(dr_no=pl.format("{}{}", pl.lit(seed), "dr_no"))
    return split_by_time(frame, params.split, UNTIL, LAST)


def _fit(name: str, split: TimeSplit, params: Params) -> Contender:
    model = fit_model(split.train, UNTIL, params)
    return Contender(name, name, model, {"trained": {"last": UNTIL.isoformat()}}, SIZE)


if __name__ == "__main__":
    main()
