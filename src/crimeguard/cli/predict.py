"""`crimeguard predict`: categorise a file of incidents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from crimeguard.cli.console import console, progress
from crimeguard.cli.options import DaskOption, crew
from crimeguard.domain.level import InformationLevel

FIX: Final = "Correct them, or leave these rows blank with --keep-going."


def predict(
    data: Annotated[Path, typer.Argument(metavar="IN", help="File of incidents.")],
    out: Annotated[Path, typer.Option(help="File to write: .csv, .csv.gz or .parquet.")],
    level: Annotated[
        str | None, typer.Option(metavar="call|victim|report", help="Hide the fields above.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Folder of a bundle; default: the one in production.")
    ] = None,
    keep_going: Annotated[
        bool, typer.Option(help="Leave rows that cannot be read blank instead of stopping.")
    ] = False,
    dask: DaskOption = None,
) -> None:
    """Write one row of category, confidence and probabilities for each incident.

    Examples:
      crimeguard predict incidents.csv --out predictions.csv
      crimeguard predict incidents.parquet --out predictions.parquet --level call
      crimeguard predict incidents.csv.gz --out predictions.csv --bundle .crimeguard/bundles/1f…
      crimeguard predict incidents.csv --out predictions.parquet --dask tcp://127.0.0.1:8786

    Rows are in the order of the input: DR_NO, prediction, confidence, information_level
    and p_<category> for all 15 categories.
    """
    from crimeguard.ingest.source import read_file
    from crimeguard.serve.locate import load_bundle
    from crimeguard.serve.scoring import (
        prediction_frame,
        require_ending,
        score_rows,
        write_predictions,
    )
    from crimeguard.settings import Settings

    known = parse_level(level)
    require_ending(out)
    with progress() as bars:
        task = bars.add_task(f"read {data.name}", total=None)
        reading = read_file(data)
        some = len(reading.bad_rows) < reading.frame.height
        frame = reading.frame if keep_going and some else reading.require_clean(data.name, FIX)
        bars.update(task, description="load the bundle")
        model = load_bundle(bundle, Settings.load()).model
        bars.update(task, description="predict", total=frame.height)
        with crew(dask) as workers:
            table = prediction_frame(
                model, frame, level=known, unreadable=reading.bad_rows,
                on_rows=lambda rows: bars.advance(task, rows),
                score=score_rows if workers is None else workers.probabilities,
            )  # fmt: skip
        write_predictions(table, out)
    console.print(f"{table.height:,} predictions in {out}", markup=False, soft_wrap=True)
    if reading.bad_rows:
        console.print(f"{len(reading.bad_rows):,} rows could not be read and are blank",
                      style="yellow", markup=False)  # fmt: skip


def parse_level(text: str | None) -> InformationLevel | None:
    """Read a level given on the command line; BadParameter if there is none of that name."""
    try:
        return None if text is None else InformationLevel.parse(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} {error}", param_hint="--level") from None
