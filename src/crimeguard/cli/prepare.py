"""`crimeguard prepare`: validate a file of incidents and store it as a snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crimeguard.cli.console import console, emit, progress
from crimeguard.cli.options import MOST_BAD, MostBadOption, OnBadRows, OnBadRowsOption


def prepare(
    data: Annotated[Path, typer.Argument(help="CSV, CSV.gz or Parquet in the 28-column form.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the snapshot; default: CRIMEGUARD_HOME.")
    ] = None,
    on_bad: OnBadRowsOption = OnBadRows.REFUSE,
    most_bad: MostBadOption = MOST_BAD,
    as_json: Annotated[bool, typer.Option("--json", help="Write the outcome to stdout.")] = False,
) -> None:
    """Validate incidents and store them as an immutable snapshot.

    Examples:
      crimeguard prepare incidents.csv
      crimeguard prepare incidents.parquet --out data/prepared --json
      crimeguard prepare incidents.csv --on-bad quarantine

    Rows that are left out are kept, with the reasons: `crimeguard data quarantine`.
    """
    from crimeguard.pipeline import prepare as store
    from crimeguard.settings import Settings

    with progress(quiet=as_json) as bars:
        task = bars.add_task("starting", total=None)
        prepared = store(
            data, out or Settings.load().home, drop_bad=on_bad is OnBadRows.DROP,
            quarantine=on_bad is OnBadRows.QUARANTINE, most_bad=most_bad,
            progress=lambda name, done, total: bars.update(
                task, description=name, completed=done, total=total
            ),
        )  # fmt: skip
    snapshot = prepared.snapshot
    told = {"snapshot": snapshot.id, "rows": snapshot.rows, "path": str(snapshot.path)}
    if prepared.quarantined:
        told["quarantined"] = prepared.quarantined
    if as_json:
        emit(told)
        return
    console.print(f"{snapshot.rows:,} incidents in {snapshot.path}", markup=False,
                  soft_wrap=True)  # fmt: skip
    if prepared.quarantined:
        console.print(f"{prepared.quarantined:,} rows in quarantine; `crimeguard data quarantine "
                      f"{snapshot.id}` shows them", markup=False, soft_wrap=True)  # fmt: skip
