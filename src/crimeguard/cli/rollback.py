"""`crimeguard rollback`: put back what was in production before."""

from __future__ import annotations

from typing import Annotated

import typer

from crimeguard.cli.console import console, emit
from crimeguard.cli.court import opened, person


def rollback(
    to: Annotated[
        str | None,
        typer.Option(help="A version that was in production; default: the one before."),
    ] = None,
    why: Annotated[str, typer.Option(help="For the ledger.")] = "by hand",
    as_json: Annotated[bool, typer.Option("--json", help="Write the outcome to stdout.")] = False,
) -> None:
    """Put the version into production again that was there before.

    Examples:
      crimeguard rollback
      crimeguard rollback --why "robbery is far too frequent since noon"
      crimeguard rollback --to 3

    No gate is asked, since it has been in production; its bundle is verified byte by byte
    and has to answer its golden rows. A running API follows by itself. Twice goes two
    versions back.
    """
    from crimeguard.registry import life
    from crimeguard.registry.judging import Actor
    from crimeguard.settings import Settings
    from crimeguard.train.params import load_params

    with opened(Settings.load(), load_params()) as (court, _):
        change = life.rollback(court, Actor(person(), why), to)
    if as_json:
        emit({"version": change.version, "stage": "production", "replaced": change.replaced})
    else:
        instead = f" instead of version {change.replaced}" if change.replaced else ""
        console.print(f"version {change.version} is in production again{instead}", markup=False)
