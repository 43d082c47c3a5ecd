"""`crimeguard data quarantine`: the rows that a snapshot did not take, and why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crimeguard.cli.console import console, emit

if TYPE_CHECKING:
    import polars as pl

    from crimeguard.ingest.quarantine import Quarantine


def quarantine(
    snapshot: Annotated[
        str | None,
        typer.Argument(help="Beginning of an id in CRIMEGUARD_HOME, or a snapshot's folder; "
                       "default: the newest."),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Write the rows as they came, with the reasons.")
    ] = None,
    rows: Annotated[int, typer.Option(min=0, help="So many rows are shown at most.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Write counts and rows to stdout.")] = (
        False
    ),
) -> None:  # fmt: skip
    """Show the rows that a snapshot did not take: counts by reason, and the first rows.

    Examples:
      crimeguard data quarantine
      crimeguard data quarantine 1f0c2a9b --csv to_correct.csv
      crimeguard data quarantine 1f0c2a9b --json --rows 1000

    The CSV can be corrected and prepared like any other file.
    """
    from crimeguard.cli.quality import find
    from crimeguard.ingest.quarantine import quarantines, together

    kept, home = find(snapshot)
    found = quarantines(home, kept.id)
    if csv is not None:
        _write(csv, found)
    if as_json:
        emit({
            "snapshot": kept.id, "rows": sum(item.rows for item in found),
            "checks": together(found), "sources": [item.to_dict() for item in found],
            "first_rows": list(_first(found, rows)),
        })  # fmt: skip
    else:
        _tell(kept.id, found, rows, csv)


def _first(found: list[Quarantine], most: int) -> Iterator[dict[str, Any]]:
    for item in found:
        for line in item.scan().head(most).collect().to_dicts():
            yield {"source": item.source, **line}
            most -= 1


def _write(path: Path, found: list[Quarantine]) -> None:
    import polars as pl

    from crimeguard.ingest.writer import replacing

    with replacing(path) as file:
        tables: list[pl.DataFrame] = [item.table() for item in found]
        if tables:
            pl.concat(tables, how="diagonal").write_csv(file)


def _tell(name: str, found: list[Quarantine], most: int, csv: Path | None) -> None:
    from crimeguard.ingest.quarantine import together

    total = sum(item.rows for item in found)
    if not total:
        console.print(f"{name} took every row", markup=False)
        return
    console.print(f"{total:,} rows are in quarantine beside {name}", markup=False)
    for check, count in together(found).items():
        console.print(f"  {count:>9,}  {check}", markup=False)
    for line in _first(found, most):
        console.print(f"{line['source']} row {line['row']}: {'; '.join(line['reasons'])}",
                      markup=False, soft_wrap=True)  # fmt: skip
    if csv is not None:
        console.print(f"rows  {csv}", markup=False, soft_wrap=True)
