"""`crimeguard retrain`: train again if there is a reason to, and carry it through."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from crimeguard.cli.console import console, emit, progress
from crimeguard.cli.court import opened, person, tell_gates

if TYPE_CHECKING:
    from crimeguard.retrain.run import Outcome
    from crimeguard.settings import Settings
    from crimeguard.train.params import Params

# 3 is what a gate's refusal is everywhere.
_EXIT: Final = {"promoted": 0, "skip": 0, "block": 1, "refused": 3, "rolled back": 1}


def retrain(
    force: Annotated[
        str | None,
        typer.Option(metavar="WHY", help="Train even if the policy would skip it; say why."),
    ] = None,
    params: Annotated[
        Path | None, typer.Option(help="Parameters; default: params.yaml here, if there is one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write the outcome to stdout.")] = False,
) -> None:
    """Ask the policy; if it says so, train, judge, promote, probe, and go back if need be.

    Examples:
      crimeguard retrain
      crimeguard retrain --force "the export of March was corrected"
      crimeguard retrain --json

    It learns from the newest snapshot and the labelled predictions. Exit codes: 0 promoted,
    or no reason to train; 1 blocked, or taken back by the probe; 3 refused by a gate. One
    at a time; one that is killed leaves what is in production, and can be run again.
    """
    from crimeguard.settings import Settings
    from crimeguard.train.params import load_params

    outcome = run(Settings.load(), load_params(params), force=force, quiet=as_json)
    if as_json:
        emit(outcome.to_dict())
    else:
        _tell(outcome)
    if _EXIT[outcome.result]:
        raise typer.Exit(_EXIT[outcome.result])


def run(
    settings: Settings, params: Params, *, force: str | None = None, quiet: bool = False
) -> Outcome:
    """Carry out one retraining, with progress."""
    from crimeguard.retrain.run import Retraining
    from crimeguard.retrain.signals import Forced

    forced = None if force is None else Forced(person(), force)
    with progress(quiet=quiet) as bars, opened(settings, params) as (court, database):
        task = bars.add_task("ask the policy", total=None)

        def show(name: str, done: int, total: int) -> None:
            bars.update(task, description=name, completed=done, total=total)

        return Retraining(court, database, settings.api_url, show).run(forced)


def _tell(outcome: Outcome) -> None:
    if outcome.settled:
        console.print(f"an earlier run was killed; settled: {outcome.settled}", markup=False)
    for reason in outcome.decision.reasons:
        console.print(f"{outcome.decision.action}: {reason}", markup=False, soft_wrap=True)
    if outcome.judgement is not None:
        tell_gates(outcome.judgement)
    if outcome.result == "promoted":
        console.print(f"version {outcome.version} is in production instead of version "
                      f"{outcome.replaced}", markup=False)  # fmt: skip
    if outcome.result == "refused":
        console.print(f"version {outcome.version} stays in staging", markup=False)
    if outcome.probe is not None:
        style = "green" if outcome.probe.passed else "bold red"
        words = "; ".join(outcome.probe.checks) if outcome.probe.passed else outcome.probe.why
        console.print(f"probe: {words}", style=style, markup=False, soft_wrap=True)
