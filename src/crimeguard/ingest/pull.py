"""Every row of a portal's data set, as it is at the end of the pull.

Pages in the order of :id come first. Rows changed or added meanwhile, also before the place
where the pull was, are fetched by :updated_at until nothing is newer. Then the rows are
counted. If the portal holds another number, some were deleted (or came in unseen): all :ids
are compared, and what the portal no longer has disappears here too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from crimeguard.domain.errors import DataError, PortalError
from crimeguard.ingest.kept import Kept, as_text
from crimeguard.ingest.soda import ROW_ID, UPDATED, Query, Soda, quoted

PAGE_ROWS: Final = 20_000
_ID_ROWS: Final = 50_000
_IN: Final = 100  # ids in one condition, so that an address stays short
_ROUNDS: Final = 10
# What is being done, rows of it done, and of how many.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Pulled:
    """All rows as text, and how they came: rows fetched now, and deleted by the portal."""

    table: pl.DataFrame
    fetched: int
    deleted: int


def check_columns(soda: Soda, query: Query) -> None:
    """Raise a DataError that names the columns which the portal's data set lacks."""
    there = soda.columns(query.dataset)
    wanted = [name for name in query.columns if not name.startswith(":")]
    missing = [name for name in wanted if name not in there]
    if missing:
        new = sorted(set(there) - set(wanted))
        raise DataError(
            f"The columns of {query.dataset} have changed: {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} gone.",
            why=f"The portal has {', '.join(new[:12]) or 'no other columns'} besides.",
            fix="Look the columns up on the portal, and correct the source in crimeguard/ingest.",
        )


def pull(
    soda: Soda, query: Query, kept: Kept, progress: Progress, page_rows: int = PAGE_ROWS
) -> Pulled:
    """Fetch what `kept` does not hold yet, and reconcile it with the portal.

    `query.columns` begin with :id and :updated_at. Killed at any moment, the next call goes
    on behind the last page kept. DataError if the columns have changed, PortalError if the
    portal fails, or counts other rows than it gives.
    """
    check_columns(soda, query)
    fetched = deleted = 0
    for _ in range(_ROUNDS):
        fetched += _round(soda, query, kept, progress, page_rows)
        if soda.newest(query) > kept.rounds[-1].newest:
            continue
        if len(kept.ids()) == soda.count(query):
            table = kept.settle() if kept.files > 1 else kept.table()
            return Pulled(table, fetched, deleted)
        new, gone = _reconcile(soda, query, kept, progress)
        fetched, deleted = fetched + new, deleted + gone
        if not (new or gone):
            break
    raise _unreconciled(soda.count(query), len(kept.ids()), query)


def trial(soda: Soda, query: Query, rows: int, progress: Progress) -> Pulled:
    """Fetch the first rows only; nothing is kept, and nothing reconciled."""
    check_columns(soda, query)
    found: list[dict[str, Any]] = []
    for page in _pages(soda, query, "", min(rows, PAGE_ROWS)):
        found += page[: rows - len(found)]
        progress("pull", len(found), rows)
        if len(found) >= rows:
            break
    return Pulled(as_text(found, query.columns), len(found), 0)


def _round(soda: Soda, query: Query, kept: Kept, progress: Progress, page_rows: int) -> int:
    """Go on with an unfinished round, or make a new one of what changed since the last."""
    if not kept.rounds or kept.rounds[-1].done:
        since = kept.rounds[-1].newest if kept.rounds else ""
        newest = soda.newest(query)
        if kept.rounds and newest <= since:
            return 0
        kept.begin(since, newest)
    current = kept.rounds[-1]
    asked = query.narrowed(f"{UPDATED} > {quoted(current.since)}") if current.since else query
    total = soda.count(asked)
    done = held = sum(part.rows for part in current.parts)
    progress("pull", done, total)
    try:
        for page in _pages(soda, asked, current.after, page_rows):
            kept.add(page)
            done += len(page)
            progress("pull", done, max(done, total))
    except PortalError as error:
        if error.status == 400:  # a column that went away meanwhile explains it best
            check_columns(soda, query)
        raise
    kept.end()
    return done - held


def _pages(soda: Soda, query: Query, after: str, rows: int) -> Iterator[list[dict[str, Any]]]:
    while page := soda.page(query, after, rows):
        yield page
        if len(page) < rows:
            return
        after = page[-1][ROW_ID]


def _reconcile(soda: Soda, query: Query, kept: Kept, progress: Progress) -> tuple[int, int]:
    """Compare all ids; return how many rows were missing here, and on the portal."""
    theirs: set[str] = set()
    for page in _pages(soda, Query(query.dataset, (ROW_ID,), query.where), "", _ID_ROWS):
        theirs.update(row[ROW_ID] for row in page)
        progress("compare", len(theirs), len(theirs))
    ours = kept.ids()
    missing, gone = sorted(theirs - ours), sorted(ours - theirs)
    rows = [row for some in _some(missing) for row in _by_id(soda, query, some)]
    if gone or rows:
        kept.settle(without=gone, rows=rows)
    return len(rows), len(gone)


def _by_id(soda: Soda, query: Query, ids: list[str]) -> list[dict[str, Any]]:
    condition = f"{ROW_ID} in({','.join(map(quoted, ids))})"
    return soda.page(query.narrowed(condition), "", len(ids))


def _some(ids: list[str]) -> Iterable[list[str]]:
    return (ids[start : start + _IN] for start in range(0, len(ids), _IN))


def _unreconciled(theirs: int, ours: int, query: Query) -> PortalError:
    return PortalError(
        f"The portal counts {theirs:,} rows of {query.dataset}, but gives {ours:,}.",
        why="They were compared row by row, and differ still: the portal is being changed, or "
        "its count is behind.",
        fix="Run the same command later: what was fetched is kept. If it stays so, --fresh "
        "fetches every row again.",
    )


def folder_of(home: Path, source: str, address: str, query: Query) -> Path:
    """Return where the pages of a pull lie: other columns or rows lie elsewhere."""
    asked = json.dumps([address, query.dataset, query.columns, query.where])
    return home / "pulls" / f"{source}-{hashlib.sha256(asked.encode()).hexdigest()[:12]}"
