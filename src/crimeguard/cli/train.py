"""`crimeguard train`: from incidents to a registered, checked model."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crimeguard.cli.console import console, emit, progress
from crimeguard.cli.court import opened, person, tell_gates
from crimeguard.cli.options import (
    MOST_BAD,
    DaskOption,
    MostBadOption,
    OnBadRows,
    OnBadRowsOption,
    crew,
    parse_day,
)

if TYPE_CHECKING:
    from crimeguard.evaluate.evaluation import Evaluation
    from crimeguard.evaluate.gates import Judgement
    from crimeguard.pipeline import Prepared, Trained
    from crimeguard.settings import Settings
    from crimeguard.train.params import Params


def train(
    data: Annotated[Path, typer.Option(help="File of incidents, or a snapshot's folder.")],
    train_until: Annotated[
        str | None, typer.Option(metavar="DATE", help="Last day to train on.")
    ] = None,
    test_until: Annotated[
        str | None, typer.Option(metavar="DATE", help="Last day to score; default: the last.")
    ] = None,
    params: Annotated[
        Path | None, typer.Option(help="Parameters; default: params.yaml here, if there is one.")
    ] = None,
    on_bad: OnBadRowsOption = OnBadRows.REFUSE,
    most_bad: MostBadOption = MOST_BAD,
    dask: DaskOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write the outcome to stdout.")] = False,
) -> None:
    """Train on incidents up to a date, and score on those after it.

    Examples:
      crimeguard train --data incidents.parquet
      crimeguard train --data incidents.csv --train-until 2023-02-28 --test-until 2023-03-31
      crimeguard train --data incidents.csv.gz --params my_params.yaml --json
      crimeguard train --data incidents.csv --dask tcp://127.0.0.1:8786

    The bundle is registered under alias staging, and goes on to production if every gate
    lets it through; otherwise the exit code is 3 and what is in production stays. Without
    dates the newest fifth of the days is scored.
    """
    from crimeguard.settings import Settings
    from crimeguard.train.params import load_params

    outcome = run(
        data,
        Settings.load(),
        load_params(params),
        train_until=parse_day(train_until) if train_until else None,
        test_until=parse_day(test_until) if test_until else None,
        on_bad=on_bad,
        most_bad=most_bad,
        quiet=as_json,
        dask=dask,
    )
    if as_json:
        emit(outcome)
    if not outcome["passed"]:
        raise typer.Exit(3)


def run(
    data: Path, settings: Settings, params: Params, *, quiet: bool = False,
    on_bad: OnBadRows = OnBadRows.REFUSE, most_bad: float = MOST_BAD,
    train_until: dt.date | None = None, test_until: dt.date | None = None,
    dask: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Prepare, train, register, judge and promote, with progress; return the outcome.

    The workers of the scheduler at `dask`, if it is given, fit the model.
    """
    from crimeguard.pipeline import prepare, register, summary
    from crimeguard.pipeline import train as fit
    from crimeguard.registry import life
    from crimeguard.registry.judging import Actor, HeldOut
    from crimeguard.registry.signature import signing_key

    signing = signing_key(settings)
    with crew(dask) as workers, progress(quiet=quiet) as bars:
        task = bars.add_task("starting", total=None)

        def show(name: str, done: int, total: int) -> None:
            bars.update(task, description=name, completed=done, total=total)

        prepared = prepare(
            data, settings.home, drop_bad=on_bad is OnBadRows.DROP,
            quarantine=on_bad is OnBadRows.QUARANTINE, most_bad=most_bad, progress=show,
        )  # fmt: skip
        trained = fit(
            prepared.snapshot, params, settings.home, train_until=train_until,
            test_until=test_until, signing=signing, crew=workers, progress=show,
        )  # fmt: skip
        # What cannot be read or learnt from leaves neither registry nor records behind.
        with opened(settings, params) as (court, _):
            bars.update(task, description="register", total=None)
            version = register(trained, prepared.snapshot, court.registry)
            actor = Actor(person(), f"trained on {data.name}")
            judgement = court.judge(
                version, actor,
                held_out=HeldOut(trained.split.train, trained.split.test, trained.evaluation),
                on_gate=lambda name: bars.update(task, description=f"gate {name}"),
            )  # fmt: skip
            if judgement.passed:
                life.promote(court, version, judgement, actor)
    if not quiet:
        _tell(prepared, trained, version, judgement)
    stage = "production" if judgement.passed else "staging"
    return {**summary(trained), "version": version, "stage": stage,
            "passed": judgement.passed, "gates": judgement.to_dict(),
            "snapshot": prepared.snapshot.id}  # fmt: skip


def _tell(prepared: Prepared, trained: Trained, version: str, judgement: Judgement) -> None:
    said = [f"{prepared.snapshot.rows:,} incidents in snapshot {prepared.snapshot.id}"]
    if prepared.report is not None and prepared.report.findings:
        said.append(f"({len(prepared.report.findings)} warnings; `crimeguard validate` lists them)")
    console.print(" ".join(said), markup=False)
    if trained.split.sample != "all":
        console.print(f"trained on {trained.split.sample}", markup=False)
    tell_scores(trained.evaluation)
    tell_gates(judgement)
    stage = "in production" if judgement.passed else "in staging"
    console.print(f"version {version} is {stage}", markup=False)
    console.print(f"bundle  {trained.bundle.path}", markup=False, soft_wrap=True)
    console.print(f"report  {trained.reports / 'training_report.html'}", markup=False,
                  soft_wrap=True)  # fmt: skip


def tell_scores(evaluation: Evaluation) -> None:
    """Show the scores of each level as a table."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=f"{evaluation.rows:,} incidents, {evaluation.first} to {evaluation.last}",
                  title_justify="left", title_style="", box=SIMPLE_HEAD,
                  padding=(0, 1, 0, 0))  # fmt: skip
    # Two lines, so that all columns fit into 80 characters.
    heads = ("level", "accuracy", "weighted\nF1", "macro\nF1", "macro\nAUC", "log-loss", "ECE",
             "top 3", "coverage")  # fmt: skip
    for place, head in enumerate(heads):
        table.add_column(head, justify="left" if place == 0 else "right")
    for label, item in evaluation.levels.items():
        s = item.scores
        figures = (s.accuracy, s.weighted_f1, s.macro_f1, s.macro_roc_auc, s.log_loss, s.ece,
                   s.top3, item.coverage)  # fmt: skip
        table.add_row(label, *(f"{value:.3f}" for value in figures))
    console.print(table)
