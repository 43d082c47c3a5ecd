"""`crimeguard log`: what is in the prediction log, as a summary or a file; and its pruning."""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crimeguard.cli.console import console, emit, progress
from crimeguard.cli.options import parse_day
from crimeguard.domain.errors import UsageError

if TYPE_CHECKING:
    from crimeguard.records.database import Database
    from crimeguard.records.summary import Share


def log(
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the predictions as Parquet.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="From the beginning of this day (UTC) on.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="DATE", help="Before the beginning of this day (UTC).")
    ] = None,
    prune: Annotated[
        int | None,
        typer.Option(metavar="DAYS", min=1, help="Delete predictions older than so many days."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write the outcome to stdout.")] = False,
) -> None:
    """Tell what the prediction log holds, write it to a file, or delete what is old.

    Examples:
      crimeguard log
      crimeguard log --since 2023-03-01 --until 2023-04-01 --out march.parquet
      crimeguard log --prune 400 --json

    The file holds every prediction with its input, its 15 probabilities and its newest label.
    The API deletes what is older than CRIMEGUARD_LOG_DAYS by itself, every day.
    """
    from crimeguard.records.database import open_database
    from crimeguard.settings import Settings

    first, behind = _start_of(since), _start_of(until)
    if out is not None and not out.name.lower().endswith(".parquet"):
        raise UsageError(f"{out} is of no kind that is written here.",
                         fix="Choose a name that ends in .parquet.")  # fmt: skip
    if prune is not None and (out is not None or since is not None or until is not None):
        raise UsageError("--prune goes with no other choice of rows.",
                         fix="Export first, then prune.")  # fmt: skip
    with closing(open_database(Settings.load())) as database:
        if prune is not None:
            told = _prune(database, prune, quiet=as_json)
        elif out is not None:
            told = _export(database, out, first, behind, quiet=as_json)
        else:
            told = _summary(database, first, behind, quiet=as_json)
    if as_json:
        emit(told)


def _start_of(day: str | None) -> dt.datetime | None:
    return None if day is None else dt.datetime.combine(parse_day(day), dt.time(), dt.UTC)


def _prune(database: Database, days: int, *, quiet: bool) -> dict[str, Any]:
    from crimeguard.records.retention import prune

    with progress(quiet=quiet) as bars:
        task = bars.add_task("delete", total=None)
        deleted = prune(database, days, on_progress=lambda rows: bars.advance(task, rows))
    if not quiet:
        console.print(f"{deleted:,} predictions older than {days} days deleted", markup=False)
    return {"deleted": deleted, "older_than_days": days}


def _export(
    database: Database,
    out: Path,
    since: dt.datetime | None,
    until: dt.datetime | None,
    *,
    quiet: bool,
) -> dict[str, Any]:
    from crimeguard.records.retention import export_log

    with progress(quiet=quiet) as bars:
        task = bars.add_task(f"write {out.name}", total=None)
        rows = export_log(database, out, since, until,
                          on_progress=lambda rows: bars.advance(task, rows))  # fmt: skip
    if not quiet:
        console.print(f"{rows:,} predictions in {out}", markup=False, soft_wrap=True)
    return {"rows": rows, "file": str(out)}


def _summary(
    database: Database, since: dt.datetime | None, until: dt.datetime | None, *, quiet: bool
) -> dict[str, Any]:
    from crimeguard.records.summary import summarise

    shares = summarise(database, since=since, until=until)
    if not quiet:
        _tell(shares)
    return {
        "predictions": sum(share.predictions for share in shares if share.answered),
        "labelled": sum(share.labelled for share in shares if share.answered),
        "bundles": [share.to_dict() for share in shares],
    }


def _tell(shares: list[Share]) -> None:
    if not shares:
        console.print("the log holds no predictions of that time", markup=False)
        return
    for share in shares:
        console.print(
            f"bundle {share.bundle[:12]} as {share.variant}: {share.predictions:,} predictions, "
            f"{share.labelled:,} labelled, {share.first:%Y-%m-%d %H:%M} to "
            f"{share.last:%Y-%m-%d %H:%M} UTC", markup=False, soft_wrap=True,
        )  # fmt: skip
