"""`crimeguard pull`: incidents from an open-data portal, as a snapshot."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crimeguard.cli.console import console, emit, progress
from crimeguard.cli.options import OnBadRows, OnBadRowsOption
from crimeguard.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from crimeguard.ingest.portal import Portal
    from crimeguard.ingest.pull import Pulled


def pull(
    source: Annotated[str, typer.Option(help="la-2020, la-2010, la-nibrs or chicago.")],
    since: Annotated[
        str, typer.Option(metavar="DATE", help="Only incidents that occurred on it or later.")
    ] = "",
    limit: Annotated[
        int, typer.Option(min=0, help="Only so many rows, for a trial; nothing is reconciled.")
    ] = 0,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Fetch every row again; forget what was kept.")
    ] = False,
    page_rows: Annotated[int, typer.Option(min=1, max=50_000, help="Rows of a request.")] = 20_000,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the snapshot; default: CRIMEGUARD_HOME.")
    ] = None,
    on_bad: OnBadRowsOption = OnBadRows.REFUSE,
    as_json: Annotated[bool, typer.Option("--json", help="Write the outcome to stdout.")] = False,
) -> None:
    """Fetch a portal's incidents, validate them and store them as a snapshot.

    Examples:
      crimeguard pull --source la-nibrs --since 2024-03-07
      crimeguard pull --source la-2020 --json
      crimeguard pull --source chicago --since 2024-01-01 --on-bad drop
      crimeguard pull --source la-2010 --limit 1000

    Run again, it fetches what has changed. Interrupted, it goes on where it was. At the end
    the rows are counted against the portal's. With --on-bad drop it also leaves out
    incidents whose code is in no table. A token in CRIMEGUARD_SODA_TOKEN raises the limits
    of the portal.
    """
    from crimeguard.ingest.coded import drop_uncoded
    from crimeguard.ingest.portals import portal_named
    from crimeguard.ingest.quarantine import Origin
    from crimeguard.pipeline import keep
    from crimeguard.settings import Settings

    portal = portal_named(source)
    day = _day(since)
    home = out or Settings.load().home
    drop = on_bad is OnBadRows.DROP
    with progress(quiet=as_json) as bars:
        task = bars.add_task(f"asking {portal.host}", total=None)

        def show(name: str, done: int, total: int) -> None:
            bars.update(task, description=name, completed=done, total=total or None)

        pulled = _pulled(portal, home, day, limit, fresh, page_rows, show)
        show(f"read {source}", 0, 3)
        adapted = portal.read(pulled.table)
        reading = drop_uncoded(adapted.reading) if drop else adapted.reading
        described = _described(portal, day, limit)
        prepared = keep(
            reading, home, name=f"What {portal.host} gave", source=described,
            origin=lambda: Origin.of_frame(described, reading.frame), drop_bad=drop,
            quarantine=on_bad is OnBadRows.QUARANTINE, progress=show,
        )  # fmt: skip
    snapshot = prepared.snapshot
    told: dict[str, Any] = {
        "source": source, "snapshot": snapshot.id, "rows": snapshot.rows,
        "path": str(snapshot.path), "pulled_rows": pulled.table.height,
        "fetched_now": pulled.fetched, "deleted_by_portal": pulled.deleted,
        "left_out": len(reading.bad_rows), "remarks": list(adapted.remarks),
        "lacks": list(portal.lacks),
    }  # fmt: skip
    if as_json:
        emit(told)
        return
    for remark in adapted.remarks:
        console.print(remark, markup=False, soft_wrap=True)
    console.print(f"{snapshot.rows:,} incidents in {snapshot.path} ({pulled.fetched:,} rows "
                  f"fetched now, {pulled.deleted:,} deleted by the portal)",
                  markup=False, soft_wrap=True)  # fmt: skip


def _pulled(
    portal: Portal,
    home: Path,
    since: dt.date | None,
    limit: int,
    fresh: bool,
    page_rows: int,
    show: Callable[[str, int, int], None],
) -> Pulled:
    from crimeguard.ingest.kept import Kept
    from crimeguard.ingest.pull import folder_of, pull, trial
    from crimeguard.ingest.soda import Soda
    from crimeguard.settings import Settings

    settings = Settings.load()
    address = settings.soda_url or f"https://{portal.host}"
    with Soda(address, settings.soda_token) as soda:
        query = portal.query(soda.columns(portal.dataset), since)
        if limit:
            return trial(soda, query, limit, show)
        folder = folder_of(home, portal.name, soda.address, query)
        with Kept.opened(folder, query.columns) as kept:
            if fresh:
                kept.forget()
            if kept.lost:
                console.print(f"{kept.lost:,} rows on disk are damaged, and fetched again",
                              markup=False)  # fmt: skip
            return pull(soda, query, kept, show, page_rows)


def _described(portal: Portal, since: dt.date | None, limit: int) -> str:
    only = [f"since {since}"] if since else []
    only += [f"first {limit:,} rows"] if limit else []
    return ", ".join([f"{portal.name} ({portal.dataset} of {portal.host})", *only])


def _day(text: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text) if text else None
    except ValueError:
        raise UsageError(f"{text!r} is not a day.",
                         fix="Write --since YYYY-MM-DD.") from None  # fmt: skip
