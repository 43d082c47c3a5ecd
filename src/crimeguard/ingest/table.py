"""Counts of a statistical profile, and how they become probabilities to draw from.

A cell with fewer than five incidents never leaves the fit: its incidents are added up
per group as `rest`, and on drawing, the rest follows the wider group above it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# The privacy threshold (DESIGN §3.1): no count below it is stored.
FEWEST: Final = 5
_STEPS: Final = 1 << 32


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Incidents by group and value: `cells` (groups x values) and the merged `rest` (groups)."""

    cells: Ints
    rest: Ints

    @classmethod
    def merged(cls, raw: Ints) -> Counts:
        """Keep cells of at least `FEWEST` incidents and add up the others as the rest.

        A rest below `FEWEST` becomes `FEWEST` or nothing by chance, so that it is right
        on average: dropping it would make every group purer than it is.
        """
        small = raw < FEWEST
        rest = np.where(small, raw, 0).sum(axis=1)
        rng = np.random.Generator(np.random.PCG64(raw.size))
        rounded = np.where(rng.random(len(rest)) * FEWEST < rest, FEWEST, 0)
        return cls(np.where(small, 0, raw), np.where(rest < FEWEST, rounded, rest))

    def totals(self) -> Ints:
        """Return the incidents known of each group."""
        return np.asarray(self.cells.sum(axis=1) + self.rest, dtype=np.int64)

    def shares(self, wider: Floats | None = None) -> Floats:
        """Return p(value | group), groups x values; every row adds up to 1.

        `wider` (groups x values) says how the rest spreads over the values that have no
        cell of their own; a group without any count takes it as a whole. Without it the
        rest is left out.
        """
        spread = self.spread(wider)
        totals = spread.sum(axis=1, keepdims=True)
        even = np.full_like(spread, 1 / spread.shape[1]) if wider is None else wider
        return np.where(totals > 0, spread / np.where(totals > 0, totals, 1), even)

    def spread(self, wider: Floats | None = None) -> Floats:
        """Return expected incidents, groups x values, with the rest spread as in `shares`."""
        known = self.cells.astype(np.float64)
        if wider is None:
            return known
        tail = np.where(self.cells > 0, 0.0, wider)
        weight = tail.sum(axis=1, keepdims=True)
        return np.asarray(known + self.rest[:, None] * tail / np.where(weight > 0, weight, 1))

    def to_json(self) -> list[list[int]]:
        """Write each group as `[rest, value, count, value, count ...]`."""
        rows = []
        for cells, rest in zip(self.cells, self.rest, strict=True):
            (at,) = np.nonzero(cells)
            rows.append([int(rest), *np.column_stack([at, cells[at]]).ravel().tolist()])
        return rows

    @classmethod
    def from_json(cls, rows: Sequence[Sequence[int]], values: int) -> Counts:
        """Read what `to_json` wrote, for a vocabulary of `values` values."""
        cells = np.zeros((len(rows), values), dtype=np.int64)
        for row, packed in enumerate(rows):
            cells[row, list(packed[1::2])] = packed[2::2]
        return cls(cells, np.array([packed[0] for packed in rows], dtype=np.int64))

    def smallest(self) -> int:
        """Return the smallest count stored, `FEWEST` or more in any honest profile."""
        stored = np.concatenate([self.cells.ravel(), self.rest])
        return int(stored[stored > 0].min(initial=np.iinfo(np.int64).max))


def cross(groups: Ints, values: Ints, shape: tuple[int, int]) -> Ints:
    """Count pairs of group and value; a negative one of either leaves the pair out."""
    known = (groups >= 0) & (values >= 0)
    flat = np.bincount(groups[known] * shape[1] + values[known], minlength=shape[0] * shape[1])
    return flat.reshape(shape).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """One field's counts at up to three widths: latent class, pool of codes, all incidents."""

    values: tuple[Any, ...]
    classes: Counts | None
    pools: Counts | None
    overall: Counts

    def shares(self, pool_of: Ints) -> Floats:
        """Return p(value | class), classes x values; `pool_of` names each class's pool."""
        wide = self.overall.shares()
        if self.pools is None:
            return np.broadcast_to(wide, (len(pool_of), len(self.values)))
        middle = self.pools.shares(np.broadcast_to(wide, self.pools.cells.shape))[pool_of]
        return middle if self.classes is None else self.classes.shares(middle)

    def rates(self, pool_of: Ints, rows: Ints) -> Floats:
        """Return p(value present | class) for a field that is a set, classes x values.

        `rows` is the number of incidents of each class in which the set is not empty.
        """
        wide = self.overall.shares()
        if self.pools is None or self.classes is None:
            raise ValueError("a set is counted by class")
        middle = self.pools.shares(np.broadcast_to(wide, self.pools.cells.shape))[pool_of]
        expected = self.classes.spread(middle)
        return np.minimum(expected / np.maximum(rows, 1)[:, None], 1.0)

    def parts(self) -> tuple[Counts, ...]:
        """Return the counts there are, narrowest first."""
        return tuple(part for part in (self.classes, self.pools, self.overall) if part is not None)

    def to_json(self) -> dict[str, Any]:
        """Write values and counts."""
        packed: dict[str, Any] = {"values": list(self.values), "overall": self.overall.to_json()}
        if self.pools is not None:
            packed["pools"] = self.pools.to_json()
        if self.classes is not None:
            packed["classes"] = self.classes.to_json()
        return packed

    @classmethod
    def from_json(cls, packed: dict[str, Any]) -> Levels:
        """Read what `to_json` wrote."""
        many = len(packed["values"])
        parts = {
            name: Counts.from_json(packed[name], many) if name in packed else None
            for name in ("classes", "pools")
        }
        overall = Counts.from_json(packed["overall"], many)
        return cls(tuple(packed["values"]), parts["classes"], parts["pools"], overall)


class Sampler:
    """Draws a value a row from p(value | group), all rows at once.

    Probabilities become whole 32-bit thresholds, so that a seed draws the same values
    on every machine, whatever its floating-point unit does with the last bit.
    """

    def __init__(self, shares: Floats) -> None:
        groups, self._values = shares.shape
        totals = np.cumsum(shares, axis=1)
        steps = np.rint(totals / totals[:, -1:] * _STEPS).astype(np.int64)
        steps[:, -1] = _STEPS
        self._steps = (steps + np.arange(groups, dtype=np.int64)[:, None] * _STEPS).ravel()

    def draw(self, rng: np.random.Generator, groups: Ints) -> Ints:
        """Return the position of a value for each row's group."""
        draws = rng.integers(0, _STEPS, size=len(groups), dtype=np.uint32).astype(np.int64)
        found = np.searchsorted(self._steps, groups * _STEPS + draws, side="right")
        return np.asarray(found - groups * self._values, dtype=np.int64)
