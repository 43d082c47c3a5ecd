"""`crimeguard promote`: put a version into production, if every gate lets it through."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crimeguard.cli.console import console, emit, progress
from crimeguard.cli.court import opened, person, tell_gates


def promote(
    version: Annotated[
        str | None, typer.Argument(help="Number of a version; default: the one in staging.")
    ] = None,
    why: Annotated[str, typer.Option(help="For the ledger.")] = "by hand",
    params: Annotated[
        Path | None, typer.Option(help="Parameters; default: params.yaml here, if there is one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write the outcome to stdout.")] = False,
) -> None:
    """Move a version that passes every gate to production.

    Examples:
      crimeguard promote
      crimeguard promote 3 --why "trained on the corrected export"
      crimeguard promote 3 --json

    The gates judge it now, on the hold-out of its own training, against what is in
    production; a version that one refuses stays where it is (exit code 3). The one in
    production before is archived. A running API follows by itself.
    """
    from crimeguard.registry import life
    from crimeguard.registry.judging import Actor
    from crimeguard.settings import Settings
    from crimeguard.train.params import load_params

    with opened(Settings.load(), load_params(params)) as (court, _):
        actor = Actor(person(), why)
        number = version or life.staged(court.registry)
        with progress(quiet=as_json) as bars:
            task = bars.add_task("fetch", total=None)
            judgement = court.judge(
                number, actor, on_gate=lambda name: bars.update(task, description=f"gate {name}")
            )
        if not as_json:
            tell_gates(judgement)
        change = life.promote(court, number, judgement, actor)
    if as_json:
        emit({"version": number, "stage": "production", "replaced": change.replaced,
              "gates": judgement.to_dict()})  # fmt: skip
    else:
        instead = f" instead of version {change.replaced}" if change.replaced else ""
        console.print(f"version {number} is in production{instead}", markup=False)
