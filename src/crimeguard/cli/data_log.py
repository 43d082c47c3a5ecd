"""`crimeguard data log`: which model saw which snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crimeguard.cli.console import console, emit, progress

if TYPE_CHECKING:
    from crimeguard.registry.lineage import Seen, Sight
    from crimeguard.registry.store import Registry
    from crimeguard.settings import Settings


def log(
    snapshot: Annotated[
        str | None,
        typer.Argument(help="Beginning of a snapshot's id: which models saw it?"),
    ] = None,
    pointers: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the pointers that git carries.")
    ] = Path("data/snapshots"),
    as_json: Annotated[bool, typer.Option("--json", help="Write the log to stdout.")] = False,
) -> None:
    """Show which model saw which snapshot, the newest model first.

    Examples:
      crimeguard data log
      crimeguard data log 1f0c2a9b
      crimeguard data log --json

    What a model saw is told by the card in its bundle, under the bundle's sha256; by its
    run where the bundle is gone, by the ledger where it was never registered.
    """
    from crimeguard.records.database import open_database
    from crimeguard.records.ledger import Ledger
    from crimeguard.registry.lineage import lineage, snapshots_known, who_saw
    from crimeguard.settings import Settings

    settings = Settings.load()
    known = snapshots_known(settings.home, pointers)
    database = open_database(settings)
    try:
        with progress(quiet=as_json) as bars:
            task = bars.add_task("registry", total=None)
            sights = lineage(
                _registry(settings), Ledger(database), settings.home / "bundles", known,
                on_version=lambda number: bars.update(task, description=f"version {number}"),
            )  # fmt: skip
    finally:
        database.close()
    if snapshot is None:
        seen = {item.snapshot.id for item in sights if item.snapshot}
        idle = [item for name, item in known.items() if name not in seen]
        _tell(sights, idle, as_json=as_json)
    else:
        one, saw = who_saw(sights, known, snapshot)
        _tell_one(one, saw, as_json=as_json)


def _registry(settings: Settings) -> Registry | None:
    """Open the registry; None where one would have to be made first."""
    from crimeguard.registry.store import open_registry

    if not settings.mlflow_tracking_uri and not settings.database.exists():
        return None
    return open_registry(settings)


def _tell(sights: list[Sight], idle: list[Seen], *, as_json: bool) -> None:
    if as_json:
        emit({"models": [item.to_dict() for item in sights],
              "seen_by_none": [item.to_dict() for item in idle]})  # fmt: skip
        return
    if sights:
        _list(sights)
    else:
        console.print("there is no model yet; `crimeguard train` makes one", markup=False)
    for item in idle:
        console.print(f"{item.id}  {_months(item)}: no model saw it", markup=False,
                      soft_wrap=True)  # fmt: skip


def _tell_one(one: Seen, saw: list[Sight], *, as_json: bool) -> None:
    if as_json:
        emit({"snapshot": one.to_dict(), "models": [item.to_dict() for item in saw]})
        return
    console.print(f"{one.id}  {_months(one)}", markup=False, soft_wrap=True)
    if one.content_sha256:
        console.print(f"sha256  {one.content_sha256}", markup=False, soft_wrap=True)
    if one.source:
        console.print(f"source  {one.source}", markup=False, soft_wrap=True)
    if saw:
        _list(saw)
    else:
        console.print("no model saw it", markup=False)


def _list(sights: list[Sight]) -> None:
    for item in sights:
        known = f"version {item.version}" if item.version else "no version"
        console.print(f"{item.at:%Y-%m-%d}  {known}  {item.stage}  bundle {item.bundle[:12]}",
                      markup=False, soft_wrap=True)  # fmt: skip
        seen = item.snapshot
        told = "" if item.told_by == "card" else f"  (told by the {item.told_by})"
        what = "nobody knows what" if seen is None else f"{seen.id}  {_months(seen)}"
        rows = "" if seen is None or seen.rows is None else f", {seen.rows:,} rows"
        console.print(f"  saw {what}{rows}{told}", markup=False, soft_wrap=True)


def _months(seen: Seen) -> str:
    if seen.where == "gone":
        return "not here"
    if seen.first_month is None:
        return f"not here, to be pulled ({seen.source})" if seen.source else "not here"
    if seen.first_month == seen.last_month:
        return seen.first_month
    return f"{seen.first_month} to {seen.last_month}"
