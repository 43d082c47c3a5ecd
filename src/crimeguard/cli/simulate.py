"""`crimeguard simulate`: make incidents where no data are at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crimeguard.cli.console import console, emit, progress
from crimeguard.cli.options import parse_day


def simulate(
    out: Annotated[Path, typer.Option(help="File to write: .csv, .csv.gz or .parquet.")],
    rows: Annotated[int, typer.Option(min=1, help="Incidents to make.")] = 60_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same rows.")] = 1,
    from_day: Annotated[
        str, typer.Option("--from", metavar="DATE", help="First day of occurrence.")
    ] = "2023-01-01",
    to_day: Annotated[
        str, typer.Option("--to", metavar="DATE", help="Last day of occurrence.")
    ] = "2023-03-31",
    exported: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Day of the export; later reports are not in it."),
    ] = None,
    drift: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[:STRENGTH][@DATE]", help="Inject a drift; may be repeated."),
    ] = None,
    profile: Annotated[
        Path | None, typer.Option(help="Profile to draw from; default: Los Angeles.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Tell what was made as JSON.")] = False,
) -> None:
    """Make incidents in the portal's 28-column form from a statistical profile.

    Examples:
      crimeguard simulate --rows 1000000 --out rows.csv
      crimeguard simulate --out rows.parquet --seed 7 --from 2023-01-01 --to 2023-06-30
      crimeguard simulate --out drifted.csv.gz --drift missing_field:0.8@2023-02-15

    Drifts: covariate_shift, class_mix_shift, new_category, missing_field,
    relabelled_codes, volume_change, nibrs_2024. Strength is 0 to 1; without a date a
    drift begins in the middle.
    """
    from crimeguard.ingest.drift import Drift
    from crimeguard.ingest.profile import Profile
    from crimeguard.ingest.simulator import simulate as make
    from crimeguard.ingest.writer import write_export

    drifts = [Drift.parse(text) for text in drift or ()]
    frames = make(
        rows, seed=seed, start=parse_day(from_day), end=parse_day(to_day), drifts=drifts,
        profile=Profile.load(profile) if profile else None,
        exported=parse_day(exported) if exported else None,
    )  # fmt: skip
    with progress(quiet=as_json) as bars:
        task = bars.add_task("Simulating", total=rows)
        written = write_export(frames, out, lambda made: bars.advance(task, made))
    if as_json:
        told = [{"name": item.name, "strength": item.strength, "start": item.start}
                for item in drifts]  # fmt: skip
        emit({"file": out, "rows": written, "seed": seed, "from": from_day, "to": to_day,
              "drifts": told})  # fmt: skip
    else:
        console.print(f"{written:,} incidents in {out}", markup=False, soft_wrap=True)
