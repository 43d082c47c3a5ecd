"""`crimeguard promote`: put the version in staging into production, if its checks passed."""

from __future__ import annotations

from typing import Annotated

import typer

from crimeguard.cli.console import console, emit


def promote(
    version: Annotated[
        str | None, typer.Argument(help="Number of a version; default: the one in staging.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write the outcome to stdout.")] = False,
) -> None:
    """Move a version that passes the first checks to production.

    Examples:
      crimeguard promote
      crimeguard promote 3
      crimeguard promote 3 --json

    The checks are held against the scores that the version was registered with; a
    version that fails one is refused with exit code 3. The one in production before is
    archived. A running API follows by itself.
    """
    from crimeguard.registry.life import promote_version
    from crimeguard.registry.store import open_registry
    from crimeguard.settings import Settings

    settings = Settings.load()
    registry = open_registry(settings)
    number, replaced = promote_version(registry, settings.home / "bundles", version)
    if as_json:
        emit({"version": number, "stage": "production", "replaced": replaced})
    else:
        instead = f" instead of version {replaced}" if replaced else ""
        console.print(f"version {number} is in production{instead}", markup=False)
