"""What a model of the old coding says of NIBRS rows, and what the loop does: docs/sources.md.

    CRIMEGUARD_REALDATA=... python -m benchmarks.nibrs

A champion is trained on simulated January and February 2023 in the old coding and judged on
the first half of March. Then the same simulated incidents of six weeks are put before it
twice: in the old coding, and as rows of the NIBRS data set (one row an offence, no victim,
no MO codes), which `la-nibrs` makes incidents of again. Weeks are judged as `crimeguard
monitor` does, and the policy is asked as `crimeguard retrain` does. At the end a challenger
is trained on the old rows and three weeks of new ones and scored on the last three.

With the real rows at hand it also prints how often the hierarchy of offences picks another
category than the LAPD's own order of codes, where a case has several.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.level import InformationLevel
from crimeguard.domain.offense import gravest, nibrs_of_lapd, offenses
from crimeguard.evaluate.reference import Reference, make_reference
from crimeguard.features.columns import Columns, Floats, Ints
from crimeguard.ingest.drift import Drift
from crimeguard.ingest.frame import canonical
from crimeguard.ingest.nibrs import LA_NIBRS, as_nibrs
from crimeguard.ingest.simulator import simulate
from crimeguard.ingest.source import read_file
from crimeguard.monitor.observed import Observed
from crimeguard.monitor.verdict import Verdict, judge_window
from crimeguard.retrain.policy import decide
from crimeguard.retrain.signals import Signals, VerdictLine
from crimeguard.serve.scoring import score_rows
from crimeguard.train.fit import fit_model, targets
from crimeguard.train.model import Model
from crimeguard.train.params import MonitorParams, Params, RetrainParams, load_params
from crimeguard.train.split import split_by_time

FIRST, TRAIN_UNTIL, TEST_UNTIL = dt.date(2023, 1, 1), dt.date(2023, 2, 28), dt.date(2023, 3, 14)
CHANGE = dt.date(2023, 3, 15)
WEEKS = 6
ROWS_A_DAY = 500
MONITOR = MonitorParams(maturity_days=0)
CALL, REPORT = InformationLevel.CALL, InformationLevel.REPORT


def main() -> None:
    params = load_params(Path(__file__).parents[1] / "params.yaml")
    params = replace(params, xgboost=replace(params.xgboost, rounds=20),
                     linear=replace(params.linear, iterations=40))  # fmt: skip
    print(f"{platform.machine()}, {os.cpu_count()} cores, {dt.datetime.now(dt.UTC).date()}")
    history = _canonical(_simulated(73 * ROWS_A_DAY, 1, FIRST, TEST_UNTIL))
    model, reference = _champion(history, params)
    last = CHANGE + dt.timedelta(7 * WEEKS - 1)
    for name, drifts in (("the coding alone", []), ("nibrs_2024, mix too", ["nibrs_2024"])):
        export = _simulated(7 * WEEKS * ROWS_A_DAY, 2, CHANGE, last, drifts)
        same = _simulated(7 * WEEKS * ROWS_A_DAY, 2, CHANGE, last)
        old, new = _canonical(same), LA_NIBRS.read(as_nibrs(export)).reading.require_clean("rows")
        print(f"\n== {name}: {old.height:,} incidents")
        if not drifts:
            _scores(model, old, new)
        _loop(model, reference, {"old coding": old, "NIBRS": new})
    new = LA_NIBRS.read(as_nibrs(same)).reading.require_clean("rows")
    _again(model, history, new, params)
    if "CRIMEGUARD_REALDATA" in os.environ:
        _hierarchy(Path(os.environ["CRIMEGUARD_REALDATA"]))


def _scores(model: Model, old: pl.DataFrame, new: pl.DataFrame) -> None:
    """Print accuracies by coding and level, and the categories that move."""
    truth, now = (targets(frame.sort("dr_no")) for frame in (old, new))
    print("| rows | asked at | against | accuracy | mean confidence |")
    for words, frame, level in (
        ("old coding", old, REPORT), ("old coding", old, CALL),
        ("NIBRS", new, REPORT), ("NIBRS", new, CALL),
    ):  # fmt: skip
        answers = score_rows(model, Columns.from_frame(frame.sort("dr_no"), level=level))
        sure = answers.max(axis=1).mean()
        for against, labels in (("old codes", truth), ("NIBRS codes", now)):
            right = (answers.argmax(axis=1) == labels).mean()
            print(f"| {words} | {level.label} | {against} | {right:.3f} | {sure:.3f} |")
    print(f"category changed by the coding: {(truth != now).mean():.1%} of incidents")
    print("| category | old coding | NIBRS | predicted of NIBRS rows at call |")
    answers = score_rows(model, Columns.from_frame(new.sort("dr_no"), level=CALL))
    shares = [_shares(places) for places in (truth, now)] + [answers.mean(axis=0)]
    for place in np.argsort(-np.abs(shares[0] - shares[1]), kind="stable"):
        cells = " | ".join(f"{share[place]:.1%}" for share in shares)
        print(f"| {CATEGORIES[place]} | {cells} |")


def _loop(model: Model, reference: Reference, frames: dict[str, pl.DataFrame]) -> None:
    """Print each week's verdict and what the policy says after the last."""
    for words, frame in frames.items():
        verdicts = [_judged(model, reference, week) for week in _weeks(frame)]
        lines = tuple(VerdictLine(n, item.model_status) for n, item in enumerate(verdicts, 1))
        decision = decide(_signals(lines, frame.height), RetrainParams())
        named = [f"{item.name} {item.score:.2f}" for item in verdicts[0].drifted[:6]]
        statuses = ", ".join(item.status for item in verdicts)
        print(f"{words}: {statuses}; first week: {', '.join(named) or 'nothing drifted'}")
        print(f"  policy: {decision.action} ({decision.reasons[0]})")


def _again(model: Model, history: pl.DataFrame, new: pl.DataFrame, params: Params) -> None:
    """Print what a challenger of both codings gains on the last three weeks."""
    middle = CHANGE + dt.timedelta(7 * WEEKS // 2 - 1)
    seen, later = new.filter(pl.col("date_occ") <= middle), new.filter(pl.col("date_occ") > middle)
    both = pl.concat([history, seen], how="diagonal")
    challenger = fit_model(both, middle, params)
    truth = targets(later)
    print("\n| trained on | asked at | accuracy on the last three weeks, NIBRS |")
    for words, one in (("old coding", model), ("both codings", challenger)):
        for level in (CALL, REPORT):
            answers = score_rows(one, Columns.from_frame(later, level=level))
            right = (answers.argmax(axis=1) == truth).mean()
            print(f"| {words} | {level.label} | {right:.3f} |")


def _hierarchy(folder: Path) -> None:
    """Hold the hierarchy against the LAPD's own order, on real cases with several codes."""
    names = ["crm_cd_1", "crm_cd_2", "crm_cd_3", "crm_cd_4"]
    cases = same = rows = 0
    for path in sorted(folder.glob("*.parquet")):
        frame = read_file(path).drop_bad()
        rows += frame.height
        for codes in frame.select(names).iter_rows():
            found = [f"nibrs:{nibrs_of_lapd()[code]}" for code in codes if code in nibrs_of_lapd()]
            if len(found) > 1:
                cases += 1
                chosen = offenses()[str(gravest(found))]
                same += chosen.category == offenses()[found[0]].category
    print(f"\n{cases:,} of {rows:,} real cases have several known codes; the hierarchy and the "
          f"LAPD's order agree on the category of {same / cases:.1%}, so on "
          f"{1 - (cases - same) / rows:.2%} of all cases")  # fmt: skip


def _judged(model: Model, reference: Reference, frame: pl.DataFrame) -> Verdict:
    columns = Columns.from_frame(frame)
    answers = score_rows(model, columns)
    return judge_window(
        reference, Observed.of(frame, columns.level, answers, targets(frame)), MONITOR
    )


def _signals(verdicts: tuple[VerdictLine, ...], rows: int) -> Signals:
    return Signals(
        champion="c" * 64, reference=True, verdicts=verdicts, now=dt.datetime.now(dt.UTC),
        last_training=None, trainings=0, new_labelled=rows, data="new", refused_data=None,
    )  # fmt: skip


def _weeks(frame: pl.DataFrame) -> list[pl.DataFrame]:
    days = pl.col("date_occ")
    return [
        frame.filter(days.is_between(start, start + dt.timedelta(6)))
        for start in (CHANGE + dt.timedelta(7 * week) for week in range(3))
    ]


def _shares(places: Ints) -> Floats:
    shares: Floats = np.bincount(places, minlength=len(CATEGORIES)) / len(places)
    return shares


def _champion(frame: pl.DataFrame, params: Params) -> tuple[Model, Reference]:
    split = split_by_time(frame, params.split, TRAIN_UNTIL, TEST_UNTIL)
    model = fit_model(split.train, split.train_until, params)

    def probabilities(level: InformationLevel) -> Floats:
        return score_rows(model, Columns.from_frame(split.test, level=level))

    return model, make_reference(
        split.train, targets(split.train), split.test, targets(split.test), probabilities
    )


def _simulated(
    rows: int, seed: int, start: dt.date, end: dt.date, drifts: Sequence[str] = ()
) -> pl.DataFrame:
    named = [Drift(name, start=start) for name in drifts]
    return pl.concat(simulate(rows, seed=seed, start=start, end=end, drifts=named))


def _canonical(export: pl.DataFrame) -> pl.DataFrame:
    return canonical(export).require_clean("the simulated rows")


if __name__ == "__main__":
    main()
