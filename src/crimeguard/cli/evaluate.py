"""`crimeguard evaluate`: score a bundle on incidents whose category is known."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from crimeguard.cli.console import console, emit, progress
from crimeguard.cli.options import OnBad, OnBadOption, parse_day
from crimeguard.cli.train import tell_scores


def evaluate(
    data: Annotated[Path, typer.Option(help="File of incidents, or a snapshot's folder.")],
    bundle: Annotated[
        Path | None, typer.Option(help="Folder of a bundle; default: the one in production.")
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="DATE", help="First day to score.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="Last day to score.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the report as a page.")] = None,
    on_bad: OnBadOption = OnBad.REFUSE,
    as_json: Annotated[bool, typer.Option("--json", help="Write the scores to stdout.")] = False,
) -> None:
    """Score a bundle at every information level.

    Examples:
      crimeguard evaluate --data march.parquet
      crimeguard evaluate --data incidents.csv --since 2023-03-01 --bundle .crimeguard/bundles/1f…
      crimeguard evaluate --data march.csv --out report.html --json

    The scores say something only of incidents that the model was not trained on: the
    model card (`GET /model`, card.json) says up to which day it was.
    """
    import polars as pl

    from crimeguard.evaluate.checks import run_checks
    from crimeguard.evaluate.evaluation import evaluate_model
    from crimeguard.evaluate.training_report import training_report
    from crimeguard.ingest.writer import write_text
    from crimeguard.pipeline import labelled
    from crimeguard.serve.locate import load_bundle
    from crimeguard.settings import Settings
    from crimeguard.train.params import params_from_dict

    loaded = load_bundle(bundle, Settings.load())
    with progress(quiet=as_json) as bars:
        task = bars.add_task(f"read {data.name}", total=None)
        frame = labelled(data, drop_bad=on_bad is OnBad.DROP)
        first, last = (parse_day(text) if text else None for text in (since, until))
        frame = frame.filter(
            pl.col("date_occ").is_between(first or dt.date.min, last or dt.date.max)
        )
        found = evaluate_model(
            loaded.model, frame, on_step=lambda name: bars.update(task, description=name)
        )
    checks = run_checks(found, params_from_dict(loaded.card["params"], source="the card").checks)
    if out is not None:
        facts = {"bundle": loaded.sha256, "data": data.name}
        write_text(out, training_report(found, checks, facts=facts))
    if as_json:
        emit({"bundle": loaded.sha256, **found.to_dict(),
              "checks": [check.to_dict() for check in checks]})  # fmt: skip
    else:
        tell_scores(found)
        trained_until = dt.date.fromisoformat(loaded.card["trained"]["last"])
        if found.first <= trained_until:
            console.print(f"note: the model was trained on incidents up to {trained_until}; "
                          "scores on those flatter it", style="yellow", markup=False)  # fmt: skip
