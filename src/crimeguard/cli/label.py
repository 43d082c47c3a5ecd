"""`crimeguard label`: tell what logged predictions should have been."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from crimeguard.cli.console import console, emit, progress
from crimeguard.cli.options import OnBad, OnBadOption
from crimeguard.domain.errors import CrimeGuardError


def label(
    file: Annotated[
        Path,
        typer.Option(help="CSV, CSV.gz or Parquet with prediction_id or DR_NO, and category or "
                     "Crm Cd."),
    ],
    on_bad: OnBadOption = OnBad.REFUSE,
    as_json: Annotated[bool, typer.Option("--json", help="Write the outcome to stdout.")] = False,
) -> None:  # fmt: skip
    """Store the true categories of logged predictions.

    Examples:
      crimeguard label --file labels.csv
      crimeguard label --file Crime_Data_from_2020_to_Present.csv
      crimeguard label --file export.parquet --on-bad drop --json

    An export of the portal is matched by DR_NO: rows that were never predicted are left out
    and counted, and one number may label several predictions. The same file can be given
    again: only what is new is stored. It is an error if no row is of a logged prediction.
    """
    from crimeguard.records.database import open_database
    from crimeguard.records.label_file import read_label_file, store
    from crimeguard.settings import Settings

    with progress(quiet=as_json) as bars:
        task = bars.add_task(f"read {file.name}", total=None)
        labels = read_label_file(file, drop_bad=on_bad is OnBad.DROP)
        bars.update(task, description="match and store", total=labels.rows.height)
        with closing(open_database(Settings.load())) as database:
            done = store(
                database, labels, source=file.name,
                on_progress=lambda rows: bars.advance(task, rows),
            )  # fmt: skip
    if not done.matched:
        raise CrimeGuardError(
            f"None of the {done.rows:,} rows of {file.name} is of a logged prediction.",
            why=f"The log knows none of these {labels.key} values.",
            fix="Check that the file is of incidents that were predicted with their DR_NO, and "
            "that CRIMEGUARD_HOME or CRIMEGUARD_RECORDS_URL names the right log.",
        )
    if as_json:
        emit(asdict(done))
        return
    console.print(
        f"{done.matched:,} of {done.rows:,} rows are of logged predictions, {done.unmatched:,} are "
        f"not in the log; {done.accepted:,} labels stored, {done.unchanged:,} known already",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    if done.left_out:
        console.print(f"{done.left_out:,} rows could not be read and are left out",
                      style="yellow", markup=False)  # fmt: skip
