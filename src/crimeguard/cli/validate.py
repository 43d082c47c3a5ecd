"""`crimeguard validate`: check a file of incidents against the data contract."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from crimeguard.cli.console import console, emit, progress
from crimeguard.cli.options import OnBad, OnBadOption
from crimeguard.domain.errors import CrimeGuardError


def validate(
    data: Annotated[Path, typer.Argument(help="CSV, CSV.gz or Parquet in the 28-column form.")],
    as_json: Annotated[bool, typer.Option("--json", help="Write the report to stdout.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write the report as a page, too.")] = None,
    on_bad: OnBadOption = OnBad.REFUSE,
    labels: Annotated[
        bool, typer.Option(help="Whether every row must have a crime code (Crm Cd).")
    ] = True,
) -> None:
    """Check a file of incidents: the data contract, and leakage.

    Examples:
      crimeguard validate incidents.csv
      crimeguard validate incidents.parquet --html report.html
      crimeguard validate incidents.csv.gz --json --on-bad drop
      crimeguard validate todays_calls.csv --no-labels

    The exit code is 0 if there is no error, 1 if there is one; warnings do not count.
    """
    from crimeguard.ingest.source import read_file
    from crimeguard.validate.run import validate_reading

    with progress(quiet=as_json) as bars:
        task = bars.add_task(f"reading {data.name}", total=None)
        reading = read_file(data)
        bars.update(task, description="checking")
        report = validate_reading(
            reading,
            source=data.name,
            as_of=dt.datetime.now(dt.UTC).date(),
            labels=labels,
            drop_bad=on_bad is OnBad.DROP,
            on_check=lambda name: bars.update(task, description=f"checking {name}", advance=1),
        )
    if html is not None:
        _write(html, report.to_html())
    if as_json:
        emit(report.to_dict())
    else:
        if report.findings:
            console.print(report.to_table())
        console.print(report.verdict, style="green" if report.ok else "bold red", markup=False)
    if not report.ok:
        raise typer.Exit(1)


def _write(path: Path, text: str) -> None:
    """Write a file at once or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise CrimeGuardError(f"{path} cannot be written.", why=f"{error.strerror}.",
                              fix="Name a file in a folder that is there.") from None  # fmt: skip
    finally:
        part.unlink(missing_ok=True)
