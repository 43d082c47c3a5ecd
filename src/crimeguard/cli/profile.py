"""`crimeguard profile`: fit what the simulator draws from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crimeguard.cli.console import console, emit, progress
from crimeguard.cli.options import parse_day
from crimeguard.domain.errors import DataError


def profile(
    data: Annotated[Path, typer.Argument(help="Incidents: .csv, .csv.gz or .parquet.")],
    out: Annotated[Path, typer.Option(help="Profile to write (.json.gz).")],
    until: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Fit on incidents up to this day only."),
    ] = None,
    volumes: Annotated[
        Path | None, typer.Option(help="Census as CSV with columns year, area, len.")
    ] = None,
    rare: Annotated[
        list[Path] | None,
        typer.Option(help="More incidents, of any bias, for rare crime codes; may be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Tell what was fitted as JSON.")] = False,
) -> None:
    """Fit the simulator's statistical profile on incidents; counts below 5 are merged.

    Examples:
      crimeguard profile rows.csv --out profile.json.gz
      crimeguard profile rows.parquet --until 2023-02-28 --out profile.json.gz
      crimeguard simulate --rows 10000 --profile profile.json.gz --out more.csv
    """
    import polars as pl

    from crimeguard.ingest.profile import fit_profile
    from crimeguard.ingest.source import read_file

    incidents = read_file(data).drop_bad()
    if until:
        incidents = incidents.filter(pl.col("date_occ") <= parse_day(until))
    more = [read_file(path).drop_bad() for path in rare or ()]
    with progress(quiet=as_json) as bars:
        task = bars.add_task("Fitting", total=incidents.height)
        fitted = fit_profile(
            incidents, pl.read_csv(_existing(volumes)) if volumes else None,
            rare=pl.concat(more) if more else None,
            on_progress=lambda done: bars.advance(task, done),
        )  # fmt: skip
    fitted.save(out)
    smallest = min(counts.smallest() for counts in fitted.counts().values())
    told = {**fitted.source, "classes": len(fitted.pool_of), "smallest_count": smallest,
            "bytes": out.stat().st_size, "file": str(out)}  # fmt: skip
    if as_json:
        emit(told)
    else:
        console.print(
            f"Profile of {told['rows']:,} incidents ({told['first_day']} to {told['last_day']}), "
            f"{told['classes']} latent classes, smallest count {smallest}: {out}",
            markup=False, soft_wrap=True,
        )  # fmt: skip


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"There is no file {path}.", fix="Check the path of --volumes.")
    return path
