"""`crimeguard quality`: how the data of a snapshot were, month by month."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crimeguard.cli.console import console, emit, progress

if TYPE_CHECKING:
    from crimeguard.ingest.snapshot import Snapshot
    from crimeguard.validate.quality import Quality


def quality(
    snapshot: Annotated[
        str | None,
        typer.Argument(help="Beginning of an id in CRIMEGUARD_HOME, or a snapshot's folder; "
                       "default: the newest."),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report as a page.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Warnings count like errors.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write the report to stdout.")] = False,
) -> None:  # fmt: skip
    """Report the data contract over time: completeness, codes, delays, volume, repeats.

    Examples:
      crimeguard quality
      crimeguard quality 1f0c2a9b --html quality.html
      crimeguard quality data/snapshots/1f0c2a9b5d3e7f60 --json --strict

    The exit code is 0 if the contract was kept in every month, 1 if not; warnings do not
    count, unless --strict.
    """
    from crimeguard.ingest.quarantine import quarantines
    from crimeguard.ingest.writer import write_text
    from crimeguard.validate.quality import measure_quality
    from crimeguard.validate.quality_page import quality_page

    with progress(quiet=as_json) as bars:
        task = bars.add_task("verifying", total=None)
        found, home = find(snapshot)
        bars.update(task, total=len(found.manifest["partitions"]))
        report = measure_quality(
            found, as_of=dt.datetime.now(dt.UTC).date(), quarantine=quarantines(home, found.id),
            on_month=lambda month: bars.update(task, description=f"measuring {month}", advance=1),
        )  # fmt: skip
    if html is not None:
        write_text(html, quality_page(report))
    if as_json:
        emit(report.to_dict())
    else:
        _tell(report, html)
    if report.errors or (strict and report.warnings):
        raise typer.Exit(1)


def find(named: str | None) -> tuple[Snapshot, Path]:
    """Return the snapshot that is meant, and the home beside whose snapshots it lies.

    The newest is the one whose incidents reach furthest; of several the one made last.
    """
    from crimeguard.ingest.exchange import snapshots_in
    from crimeguard.ingest.snapshot import Snapshot
    from crimeguard.settings import Settings

    folder = Path(named or "")
    if named and (folder / "manifest.json").is_file():
        return Snapshot.load(folder), folder.resolve().parents[1]
    home = Settings.load().home
    return max(snapshots_in(home, [named] if named else ()), key=_age), home


def _age(snapshot: Snapshot) -> tuple[str, int]:
    made = (snapshot.path / "manifest.json").stat().st_mtime_ns
    return str(snapshot.manifest.get("last_date_occ")), made


def _tell(report: Quality, html: Path | None) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from crimeguard.validate.quality import VOLUME

    if report.troubles:
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for name in ("severity", "check", "months", "rows", "worst"):
            table.add_column(name, justify="right" if name in {"months", "rows"} else "left",
                             overflow="fold")  # fmt: skip
        for item in report.troubles:
            of = " of the usual" if item.check == VOLUME else ""
            table.add_row(item.severity.value, item.check, f"{len(item.months)}",
                          f"{item.rows:,}", f"{item.worst}: {item.share:.1%}" + of)  # fmt: skip
        console.print(table)
    console.print(report.verdict, style="bold red" if report.errors else "green", markup=False)
    rows = sum(item.rows for item in report.quarantine)
    console.print(f"{report.rows_in:,} rows came, {report.duplicates:,} repeated, {rows:,} in "
                  "quarantine", markup=False)  # fmt: skip
    if html is not None:
        console.print(f"report  {html}", markup=False, soft_wrap=True)
