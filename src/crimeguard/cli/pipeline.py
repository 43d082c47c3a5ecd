"""`crimeguard pipeline`: the stages of the Jenkinsfile, without Jenkins."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from crimeguard.cli.console import console, emit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crimeguard.delivery.run import Outcome
    from crimeguard.delivery.stages import Stage

_STYLES: Final = {"ok": "green", "failed": "bold red", "timed out": "bold red"}
_STDERR: Final = 2


def pipeline(
    first: Annotated[
        str | None, typer.Option("--from", metavar="STAGE", help="Begin with this stage.")
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", metavar="STAGE", help="End behind this stage.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run, and run nothing.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write the outcome to stdout; what runs uses stderr.")
    ] = False,
) -> None:
    """Run the stages that Jenkins runs: in order, on condition, with time-outs.

    Examples:
      crimeguard pipeline --dry-run
      crimeguard pipeline --from monitor --to retrain
      crimeguard pipeline --from images --json

    The stages are initialize, data, tests, monitor, retrain, images and deploy. Run it in the
    repository; OVERLAY (staging), REGISTRY, PYTEST_ARGS and MONITOR_ARGS are what Jenkins
    has as parameters, and what it has as credentials is read from the same variables.
    Afterwards the flag is removed and a notice is sent. Exit code 1: a stage failed.
    """
    from crimeguard.delivery.run import select
    from crimeguard.delivery.stages import PARAMETERS
    from crimeguard.domain.errors import UsageError

    chosen = select(first, last)
    environ = {**PARAMETERS, **os.environ}
    if dry_run:
        _plan(chosen, as_json=as_json)
        return
    if not Path("Makefile").is_file():
        raise UsageError("There is no Makefile here.", fix="Run it in the repository's folder.")
    outcomes = _run(chosen, environ, as_json=as_json)
    bad = [outcome for outcome in outcomes if outcome.bad]
    _post(bad)
    if as_json:
        emit({"result": "failed" if bad else "ok", "stages": [o.to_dict() for o in outcomes]})
    else:
        _table(outcomes)
    if bad:
        raise typer.Exit(1)


def _plan(stages: Sequence[Stage], *, as_json: bool) -> None:
    plan: list[dict[str, Any]] = [
        {"stage": stage.name, "title": stage.title, "minutes": stage.minutes, "when": stage.when,
         "work": {name: list(commands) for name, commands in stage.work.items()}}
        for stage in stages
    ]  # fmt: skip
    if as_json:
        emit(plan)
        return
    for entry in plan:
        condition = f", if {entry['when']} exists" if entry["when"] else ""
        console.print(f"{entry['stage']}: {entry['title']}, {entry['minutes']} min{condition}",
                      markup=False)  # fmt: skip
        for branch, commands in entry["work"].items():
            for command in commands:
                console.print(f"  {branch + ': ' if branch else ''}{command}", markup=False,
                              soft_wrap=True)  # fmt: skip


def _run(stages: Sequence[Stage], environ: dict[str, str], *, as_json: bool) -> list[Outcome]:
    from crimeguard.delivery.run import run_stages
    from crimeguard.delivery.stages import FLAG

    def begin(number: int, stage: Stage) -> None:
        console.print(f"stage {number + 1} of {len(stages)}: {stage.title}", style="bold",
                      markup=False)  # fmt: skip

    outcomes = []
    with _ended_in_order():
        try:
            for outcome in run_stages(stages, Path.cwd(), environ, begin,
                                      stdout=_STDERR if as_json else None):  # fmt: skip
                outcomes.append(outcome)
                why = f" ({outcome.why})" if outcome.why else ""
                style = _STYLES.get(outcome.result)
                console.print(f"{outcome.stage.title}: {outcome.result}{why}", style=style,
                              markup=False, soft_wrap=True)  # fmt: skip
        finally:
            Path(FLAG).unlink(missing_ok=True)
    return outcomes


def _post(bad: Sequence[Outcome]) -> None:
    from crimeguard.cli.notice import Result, send

    subject = f"crimeguard pipeline, {bad[0].stage.title}" if bad else "crimeguard pipeline"
    send(Result.FAILURE if bad else Result.SUCCESS, subject)


def _table(outcomes: Sequence[Outcome]) -> None:
    from rich.table import Table

    table = Table("stage", "result", "seconds", "why")
    for outcome in outcomes:
        seconds = f"{outcome.seconds:.1f}" if outcome.seconds else ""
        table.add_row(outcome.stage.name, outcome.result, seconds, outcome.why,
                      style=_STYLES.get(outcome.result))  # fmt: skip
    console.print(table)


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let SIGTERM end the running commands as Ctrl-C does."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
