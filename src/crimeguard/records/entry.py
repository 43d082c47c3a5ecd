"""One answered prediction, as the log keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.repair import repair_number
from crimeguard.records import moment
from crimeguard.records.identifier import new_ids

CHAMPION: Final = "champion"
_LONGEST_NUMBER: Final = 40
_NUMBER: Final = np.dtype("<f8")


class Entry(NamedTuple):
    """One row of the table `prediction`, its fields in the order of the columns.

    `made_at` is in microseconds since 1970, `probabilities` holds 15 little-endian
    float64 in the order of CATEGORIES, `input` the incident as a JSON object.
    """

    id: str
    made_at: int
    bundle: str
    variant: str
    level: int
    category: str
    confidence: float
    probabilities: bytes
    dr_no: str | None
    input: str


def entries_of(
    probabilities: NDArray[np.float64],
    levels: NDArray[np.int64],
    inputs: Sequence[str],
    *,
    bundle: str,
    dr_no: Sequence[str | None] | pl.Series | None = None,
    variant: str = CHAMPION,
    ids: Sequence[str] | None = None,
    made_at: int | None = None,
) -> list[Entry]:
    """Return an entry for each prediction.

    Parameters
    ----------
    probabilities
        Shape (n, 15), in the order of CATEGORIES.
    levels
        What was known of each incident, shape (n,).
    inputs
        The n incidents, each a JSON object on one line.
    bundle
        The sha256 of the bundle that answered.
    dr_no
        The portal's numbers of the rows, length n; None where there is none.
    ids
        Their identifiers; new ones by default.
    made_at
        Microseconds since 1970, for all of them; now by default.
    """
    rows = len(probabilities)
    best = probabilities.argmax(axis=1)
    packed = np.ascontiguousarray(probabilities, dtype=_NUMBER).view(f"V{_NUMBER.itemsize * 15}")
    when = moment.now() if made_at is None else made_at
    numbers = [None] * rows if dr_no is None else [_number(text) for text in dr_no]
    columns: tuple[Sequence[object], ...] = (
        new_ids(rows) if ids is None else ids,
        [when] * rows,
        [bundle] * rows,
        [variant] * rows,
        levels.tolist(),
        [CATEGORIES[place] for place in best],
        probabilities[np.arange(rows), best].tolist(),
        packed.ravel().tolist(),
        numbers,
        inputs,
    )
    return list(map(Entry._make, zip(*columns, strict=True)))


def _number(text: str | None) -> str | None:
    """Write a portal's number as the files of labels will, within what a column can hold."""
    if text is None or (text.isdecimal() and len(text) <= _LONGEST_NUMBER):
        return text
    number = repair_number(text.replace("\0", ""))
    return number[:_LONGEST_NUMBER] if number else None
