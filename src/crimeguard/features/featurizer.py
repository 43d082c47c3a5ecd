"""The one featurizer: training frames, batch frames and single incidents go through it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crimeguard.domain.errors import DataError
from crimeguard.features.columns import Columns, Ints
from crimeguard.features.cross import crossed_keys
from crimeguard.features.dense import DenseTable, Matrix
from crimeguard.features.lookup import Lookup

# Written into every bundle: a change in how features are made makes a new number, so
# that no bundle is ever read with other features than it was trained on.
FEATURES_VERSION = 1


@dataclass(frozen=True, slots=True)
class Features:
    """Features of n incidents.

    `dense` has shape (n, columns). The active crossed features of incident i are the
    weight rows `indices[offsets[i]:offsets[i + 1]]`, ascending.
    """

    dense: Matrix
    offsets: Ints
    indices: Ints


@dataclass(frozen=True, slots=True)
class Featurizer:
    """Tables fitted on training incidents, and the features that they make."""

    table: DenseTable
    vocabulary: Ints  # sorted keys; the place of a key is its weight row
    lookup: Lookup = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lookup", Lookup.of(self.vocabulary))

    @classmethod
    def fit(cls, columns: Columns, *, min_count: int, mo_columns: int) -> Featurizer:
        """Learn which codes and crosses occur at least `min_count` times.

        `columns` holds every training incident once for each information level. Raises
        DataError if there is none.
        """
        table = DenseTable.fit(columns, min_count=min_count, mo_columns=mo_columns)
        keys, counts = np.unique(crossed_keys(columns).values, return_counts=True)
        if not (counts >= min_count).any():
            raise DataError("There are too few incidents to train on.",
                            why=f"No code and no cross occurs {min_count} times.",
                            fix="Give more data.")  # fmt: skip
        return cls(table, keys[counts >= min_count])

    def transform(self, columns: Columns) -> Features:
        """Make the features of any number of incidents, one or millions."""
        keys = crossed_keys(columns)
        place, known = self.lookup.find(keys.values)
        # A cross that was never seen has no weight row: it is left out, not mapped.
        if known.all():
            return Features(self.table.matrix(columns), keys.offsets, place)
        kept = np.zeros(len(known) + 1, np.int64)
        np.cumsum(known, out=kept[1:])
        return Features(self.table.matrix(columns), kept[keys.offsets], place[known])

    def to_json(self) -> dict[str, Any]:
        """Return everything fitted as JSON-able values."""
        return {
            "features_version": FEATURES_VERSION,
            "dense": self.table.to_json(),
            "vocabulary": self.vocabulary.tolist(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Featurizer:
        """Read what `to_json` wrote; ValueError if other code wrote it."""
        if data["features_version"] != FEATURES_VERSION:
            raise ValueError(
                f"features version {data['features_version']} is not {FEATURES_VERSION}"
            )
        vocabulary = np.array(data["vocabulary"], np.int64)
        return cls(DenseTable.from_json(data["dense"]), vocabulary)
