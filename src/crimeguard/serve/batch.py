"""Many incidents in one request, and what was predicted of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.level import InformationLevel
from crimeguard.features.columns import Columns, Floats, Ints
from crimeguard.records.entry import Entries, entries_of
from crimeguard.records.identifier import new_ids
from crimeguard.serve.chunks import in_chunks
from crimeguard.serve.slot import Predicts, model_info

_LEVELS: Final = tuple(level.label for level in InformationLevel)


def _forgotten(start: int, stop: int) -> Sequence[str]:
    return ["{}"] * (stop - start)


@dataclass(frozen=True, slots=True)
class Batch:
    """Incidents to score, in input order.

    `dr_no` holds the portal's number of each, None where there is none; `ignored` the
    fields or columns that were given and not used. `texts` writes the incidents from a
    place up to another as JSON objects, for the log.
    """

    columns: Columns
    dr_no: Sequence[str | None] | pl.Series
    ignored: tuple[str, ...] = ()
    texts: Callable[[int, int], Sequence[str]] = _forgotten


@dataclass(frozen=True, slots=True)
class Scored:
    """A batch with its probabilities (n, 15) and membership in the prediction sets (n, 15).

    `ids` are the identifiers of the n predictions.
    """

    batch: Batch
    probabilities: Floats
    inside: NDArray[np.bool_]
    info: dict[str, str]
    ids: Sequence[str]

    @property
    def rows(self) -> int:
        """The number of incidents."""
        return len(self.probabilities)

    @property
    def best(self) -> Ints:
        """Places of the predicted categories in CATEGORIES, shape (n,)."""
        best: Ints = self.probabilities.argmax(axis=1)
        return best

    def part(self, start: int, stop: int) -> Scored:
        """Return the rows from `start` up to `stop` as views."""
        batch = self.batch
        return Scored(
            Batch(batch.columns.rows(start, stop), batch.dr_no[start:stop]),
            self.probabilities[start:stop], self.inside[start:stop], self.info,
            self.ids[start:stop],
        )  # fmt: skip

    def summary(self) -> dict[str, int]:
        """Count the predictions of each of the 15 categories."""
        counts = np.bincount(self.best, minlength=len(CATEGORIES))
        return dict(zip(CATEGORIES, counts.tolist(), strict=True))

    def counts(self) -> Iterator[tuple[str, str, int]]:
        """Yield category, level and number of the predictions."""
        pairs = self.best * len(_LEVELS) + self.batch.columns.level
        numbers = np.bincount(pairs, minlength=len(CATEGORIES) * len(_LEVELS))
        for pair in np.flatnonzero(numbers):
            category, level = divmod(int(pair), len(_LEVELS))
            yield CATEGORIES[category], _LEVELS[level], int(numbers[pair])

    def entries(self, start: int, stop: int) -> Entries:
        """Return what the log keeps of the rows from `start` up to `stop`."""
        return entries_of(
            self.probabilities[start:stop], self.batch.columns.level[start:stop],
            self.batch.texts(start, stop), bundle=self.info["sha256"],
            dr_no=self.batch.dr_no[start:stop], ids=self.ids[start:stop],
        )  # fmt: skip


def score(
    batch: Batch,
    predictor: Predicts,
    *,
    then: Callable[[Scored, int, int], None] | None = None,
) -> Scored:
    """Predict a whole batch with one bundle, in chunks on all cores.

    Parameters
    ----------
    then
        Called with the result so far, start and stop of each chunk once it is scored, in
        order; what it raises ends the scoring.
    """
    columns, rows = batch.columns, len(batch.columns)
    scored = Scored(
        batch, np.empty((rows, len(CATEGORIES))), np.empty((rows, len(CATEGORIES)), np.bool_),
        model_info(predictor.bundle), new_ids(rows),
    )  # fmt: skip

    def chunk(start: int, stop: int) -> None:
        part = columns.rows(start, stop)
        shares = predictor.predict_columns(part)
        scored.probabilities[start:stop] = shares
        scored.inside[start:stop] = predictor.bundle.model.prediction_sets(shares, part)

    for start, stop, _ in in_chunks(rows, chunk):
        if then is not None:
            then(scored, start, stop)
    return scored
