"""Many incidents in one request: scored first and whole, then written piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.level import InformationLevel
from crimeguard.features.columns import Columns, Floats
from crimeguard.records.entry import Entry, entries_of
from crimeguard.records.identifier import new_ids
from crimeguard.serve.slot import Predicts, model_info
from crimeguard.serve.table import prediction_table

_STEP: Final = 16_384  # incidents scored at once, and rows written at once
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

    def summary(self) -> dict[str, int]:
        """Count the predictions of each of the 15 categories."""
        counts = np.bincount(self.probabilities.argmax(axis=1), minlength=len(CATEGORIES))
        return dict(zip(CATEGORIES, counts.tolist(), strict=True))

    def counts(self) -> Iterator[tuple[str, str, int]]:
        """Yield category, level and number of the predictions."""
        best = self.probabilities.argmax(axis=1)
        pairs = best * len(_LEVELS) + self.batch.columns.level
        numbers = np.bincount(pairs, minlength=len(CATEGORIES) * len(_LEVELS))
        for pair in np.flatnonzero(numbers):
            category, level = divmod(int(pair), len(_LEVELS))
            yield CATEGORIES[category], _LEVELS[level], int(numbers[pair])

    def entries(self, start: int, stop: int) -> list[Entry]:
        """Return what the log keeps of the rows from `start` up to `stop`."""
        return entries_of(
            self.probabilities[start:stop], self.batch.columns.level[start:stop],
            self.batch.texts(start, stop), bundle=self.info["sha256"],
            dr_no=self.batch.dr_no[start:stop], ids=self.ids[start:stop],
        )  # fmt: skip


def score(batch: Batch, predictor: Predicts) -> Scored:
    """Predict a whole batch with one bundle."""
    columns = batch.columns
    probabilities, inside = [], []
    for start in range(0, len(columns), _STEP):
        part = columns.rows(start, min(start + _STEP, len(columns)))
        probabilities.append(predictor.predict_columns(part))
        inside.append(predictor.bundle.model.prediction_sets(probabilities[-1], part))
    return Scored(
        batch, np.concatenate(probabilities), np.concatenate(inside),
        model_info(predictor.bundle), new_ids(len(columns)),
    )  # fmt: skip


def as_csv(scored: Scored) -> Iterator[bytes]:
    """Write the same table as `crimeguard predict` does."""
    table = prediction_table(scored.batch.dr_no, scored.probabilities, scored.batch.columns.level)
    for start in range(0, scored.rows, _STEP):
        part = table.slice(start, _STEP)
        yield part.write_csv(include_header=start == 0).encode()


def as_json(scored: Scored) -> Iterator[bytes]:
    """Write one JSON document: the predictions, then what holds for all of them."""
    opening = b'{"predictions":['
    for start in range(0, scored.rows, _STEP):
        part = [_row(scored, place) for place in range(start, min(start + _STEP, scored.rows))]
        yield opening + orjson.dumps(part, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
        opening = b","
    closing = orjson.dumps(
        {
            "rows": scored.rows,
            "summary": scored.summary(),
            "ignored_fields": scored.batch.ignored,
            "model_info": scored.info,
        }
    )
    yield b"]," + closing[1:]


def _row(scored: Scored, place: int) -> dict[str, Any]:
    probabilities = scored.probabilities[place]
    order = (-probabilities).argsort(kind="stable")
    inside = scored.inside[place]
    best = order[0]
    return {
        "DR_NO": scored.batch.dr_no[place],
        "prediction": CATEGORIES[best],
        "confidence": probabilities[best],
        "probabilities": dict(zip(CATEGORIES, probabilities.tolist(), strict=True)),
        "prediction_set": [CATEGORIES[other] for other in order if inside[other]],
        "information_level": _LEVELS[scored.batch.columns.level[place]],
        "prediction_id": scored.ids[place],
    }
