"""Reading a CSV of any length part by part: its text is never in memory as a whole.

Every part is repaired while the next one is read. What is kept is the canonical frame, about
a third of the text.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

import polars as pl

from crimeguard.cores import cores
from crimeguard.domain.field import DERIVED_COLUMNS
from crimeguard.ingest.frame import EVIDENCE, Reading, canonical

# More are repaired a little faster, since fewer texts are met anew, and take more memory.
ROWS: Final = 200_000


def read_csv_parts(path: Path, *, source: str, rows: int = ROWS) -> Reading | None:
    """Read and repair a CSV, at most so many rows at once; None if it holds no row.

    The same as `canonical` of the whole, but that the bad values that are shown come in the
    order of the parts. Texts that only put a code into words are not read. Raises PolarsError
    or OSError where the file is no table, DataError as `canonical` does.
    """
    text = pl.scan_csv(path, infer_schema=False, glob=False)
    wanted = [name for name in text.collect_schema() if name not in DERIVED_COLUMNS]
    text = text.select(wanted)
    parts = _without_blank_end(text.collect_batches(chunk_size=rows, engine="streaming"))
    readings = list(_repaired(parts, source))
    return joined(readings) if readings else None


def joined(readings: list[Reading]) -> Reading:
    """Put the readings of parts one behind the other; rows are counted through."""
    starts = [0]
    for reading in readings:
        starts.append(starts[-1] + reading.frame.height)
    pairs = list(zip(starts, readings, strict=False))
    return Reading(
        pl.concat([reading.frame for reading in readings]),
        tuple(replace(bad, row=bad.row + start) for start, reading in pairs for bad in reading.bad)[
            :EVIDENCE
        ],
        frozenset(row + start for start, reading in pairs for row in reading.bad_rows),
        readings[0].ignored,
    )


def _repaired(parts: Iterable[pl.DataFrame], source: str) -> Iterator[Reading]:
    """Repair parts on all cores, in order, a few ahead."""
    ahead: deque[Future[Reading]] = deque()
    pool = ThreadPoolExecutor(cores(), "crimeguard-repair")
    try:
        for part in parts:
            ahead.append(pool.submit(canonical, part, source=source))
            if len(ahead) > cores():
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _without_blank_end(parts: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Hold back rows without any value until one with some follows: at the end nothing does."""
    held: list[pl.DataFrame] = []
    for part in parts:
        filled = part.select(pl.any_horizontal(pl.all().is_not_null())).to_series().arg_true()
        cut = int(filled[-1]) + 1 if len(filled) else 0
        if cut:
            yield pl.concat([*held, part.head(cut)])
            held = []
        if cut < part.height:
            held.append(part.slice(cut))
