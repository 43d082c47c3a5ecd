"""One answered prediction, as the log keeps it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, overload

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.repair import repair_number
from crimeguard.records import moment
from crimeguard.records.identifier import new_ids

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
SHADOW: Final = "shadow"
_LONGEST_NUMBER: Final = 40
_NUMBER: Final = np.dtype("<f8")


class Entry(NamedTuple):
    """One row of the table `prediction`, its fields in the order of the columns.

    `made_at` is in microseconds since 1970, `probabilities` holds 15 little-endian
    float64 in the order of CATEGORIES, `input` the incident as a JSON object. `variant` is
    CHAMPION or CHALLENGER for what was answered, SHADOW for what was only scored beside the
    answer `answered_id`; `experiment` is the one that it belongs to.
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
    experiment: str | None = None
    answered_id: str | None = None


@dataclass(frozen=True, slots=True)
class Entries(Sequence[Entry]):
    """Many entries as columns, for as long as nobody looks at one of them.

    `columns` holds the fields of Entry in their order, each of length n. A million objects
    less to make, and to make room for.
    """

    columns: tuple[Sequence[object], ...]

    def __len__(self) -> int:
        return len(self.columns[0])

    @overload
    def __getitem__(self, place: int) -> Entry: ...
    @overload
    def __getitem__(self, place: slice) -> Entries: ...
    def __getitem__(self, place: int | slice) -> Entry | Entries:
        if isinstance(place, slice):
            return Entries(tuple(column[place] for column in self.columns))
        return Entry._make(column[place] for column in self.columns)

    def __iter__(self) -> Iterator[Entry]:
        return map(Entry._make, zip(*self.columns, strict=True))

    def flat(self) -> list[object]:
        """Return the values row by row, one behind the other."""
        values: list[object] = [None] * (len(self) * len(self.columns))
        for place, column in enumerate(self.columns):
            values[place :: len(self.columns)] = column
        return values


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
    experiment: str | None = None,
    answered_ids: Sequence[str | None] | None = None,
) -> Entries:
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
    experiment
        The one that they belong to.
    answered_ids
        For those of a shadow: beside which answers they were scored, length n.
    """
    rows = len(probabilities)
    best = probabilities.argmax(axis=1)
    packed = np.ascontiguousarray(probabilities, dtype=_NUMBER).view(f"V{_NUMBER.itemsize * 15}")
    when = moment.now() if made_at is None else made_at
    numbers = [None] * rows if dr_no is None else _numbers(dr_no)
    columns: tuple[Sequence[object], ...] = (
        new_ids(rows) if ids is None else ids,
        [when] * rows,
        [bundle] * rows,
        [variant] * rows,
        levels.tolist(),
        [CATEGORIES[place] for place in best.tolist()],
        probabilities[np.arange(rows), best].tolist(),
        packed.ravel().tolist(),
        numbers,
        inputs,
        [experiment] * rows,
        [None] * rows if answered_ids is None else answered_ids,
    )
    if any(len(column) != rows for column in columns):
        raise ValueError("every column has a value for each prediction")
    return Entries(columns)


def _numbers(given: Sequence[str | None] | pl.Series) -> list[str | None]:
    return [_number(text) for text in (given.to_list() if isinstance(given, pl.Series) else given)]


def _number(text: str | None) -> str | None:
    """Write a portal's number as the files of labels will, within what a column can hold."""
    if text is None or (text.isdecimal() and len(text) <= _LONGEST_NUMBER):
        return text
    number = repair_number(text.replace("\0", ""))
    return number[:_LONGEST_NUMBER] if number else None
