"""`crimeguard doctor`: is this machine ready, and if not, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from crimeguard.cli.console import console, emit, progress
from crimeguard.settings import Settings

if TYPE_CHECKING:
    from rich.table import Table

    from crimeguard.cli.health import Outcome

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Write the outcome to stdout.")] = False,
) -> None:
    """Check that this machine can run CrimeGuard, and say what to do where it cannot.

    Examples:
      crimeguard doctor
      crimeguard doctor --json

    The exit code is 1 if a check fails; warnings do not count.
    """
    from crimeguard.cli import health

    settings = Settings.load()
    outcomes: list[Outcome] = []
    with progress(quiet=as_json) as bars:
        task = bars.add_task("looking", total=len(health.CHECKS))
        for check in health.CHECKS:
            bars.update(task, description=check.__name__.replace("_", " "))
            outcomes += check(settings)
            bars.advance(task)
    failed = any(outcome.status == "fail" for outcome in outcomes)
    if as_json:
        emit({"ok": not failed, "checks": [outcome.to_dict() for outcome in outcomes]})
    else:
        console.print(_table(outcomes))
    if failed:
        raise typer.Exit(1)


def _table(outcomes: list[Outcome]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False)
    for outcome in outcomes:
        words = outcome.found + (f"\n{outcome.fix}" if outcome.fix else "")
        table.add_row(Text(outcome.status, _STYLES[outcome.status]), outcome.check, Text(words))
    return table
