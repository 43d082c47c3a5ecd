"""`crimeguard history`: what was decided, when, by whom and why."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated, Final

import typer

from crimeguard.cli.console import console, emit
from crimeguard.cli.options import parse_day

if TYPE_CHECKING:
    from crimeguard.records.ledger import Ledger, LedgerEntry

_LONGEST: Final = 200  # letters of a reason in the table


def history(
    on: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="What was in production at the end of this day (UTC)?"),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(help="Only these lines: verdict, decision, training, gates, promotion, "
                     "probe, rollback, alert; may be given several times."),
    ] = None,
    newest: Annotated[int, typer.Option(min=1, help="So many lines at most.")] = 40,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write the lines with their evidence to stdout.")
    ] = False,
) -> None:  # fmt: skip
    """Show the ledger: every verdict, decision and change, oldest first.

    Examples:
      crimeguard history
      crimeguard history --on 2023-03-10
      crimeguard history --kind promotion --kind rollback --json
    """
    from crimeguard.records.database import open_database
    from crimeguard.records.ledger import KINDS, Ledger
    from crimeguard.settings import Settings

    unknown = sorted(set(kind or ()) - KINDS)
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(sorted(KINDS))}",
                                 param_hint="--kind")  # fmt: skip
    database = open_database(Settings.load())
    try:
        ledger = Ledger(database)
        if on is not None:
            _tell_day(ledger, parse_day(on), as_json=as_json)
            return
        lines = ledger.entries(kind or None, newest=newest)
    finally:
        database.close()
    if as_json:
        emit([line.to_dict() for line in lines])
    else:
        _tell(lines)


def _tell_day(ledger: Ledger, day: dt.date, *, as_json: bool) -> None:
    from crimeguard.registry.life import in_production

    end = dt.datetime.combine(day + dt.timedelta(1), dt.time(), dt.UTC)
    line = in_production(ledger, end)
    if as_json:
        emit({"on": day.isoformat(), "in_production": None if line is None else line.to_dict()})
    elif line is None:
        console.print(f"nothing was in production on {day}", markup=False)
    else:
        console.print(
            f"on {day} version {line.evidence.get('version')} ({line.subject[:12]}) was in "
            f"production, since {line.at:%Y-%m-%d %H:%M} UTC: {line.kind} by {line.who}, "
            f"because: {line.why}", markup=False, soft_wrap=True,
        )  # fmt: skip


def _tell(lines: list[LedgerEntry]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    if not lines:
        console.print("the ledger is empty; `crimeguard train` writes its first line",
                      markup=False)  # fmt: skip
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("when (UTC)", "what", "version", "who", "why"):
        table.add_column(name, overflow="fold")
    for line in lines:
        version = str(line.evidence.get("version") or line.subject[:12])
        why = escape(line.why[:_LONGEST])
        table.add_row(f"{line.at:%Y-%m-%d %H:%M}", line.kind, version, escape(line.who), why)
    console.print(table)
