"""Trees as arrays: rows walk down all of them at once.

Every tree is laid out complete, to the depth of the deepest, so that a step down is
arithmetic: from place p to 2 p or 2 p + 1. Where a branch ends early its leaf stands at every
end below. A missing value takes the side that the node was taught: a row is laid out twice,
with what is missing as less than anything and as more, and a node looks at the one it means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from crimeguard.features.columns import Ints
from crimeguard.features.dense import Matrix

DEEPEST: Final = 10  # a complete tree doubles with every step


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree by its nodes, arrays of one length; the first node is the root.

    A row goes right where its value of `feature` is at least `threshold`, or where it is
    missing and `missing_right` says so. `left` and `right` are the next nodes; both are -1
    at a leaf.
    """

    feature: Ints
    threshold: NDArray[np.float32]
    missing_right: NDArray[np.bool_]
    left: Ints
    right: Ints


@dataclass(frozen=True, slots=True)
class Step:
    """One step down, in the first `trees`; the others have come to their ends before.

    For every place there `features` names a column of a row laid out twice, and `thresholds`
    a bound. `ends` holds the nodes that the trees which leave here have come to.
    """

    trees: int
    features: Ints
    thresholds: NDArray[np.float32]
    ends: Ints


@dataclass(frozen=True, slots=True)
class Forest:
    """Complete trees, on so many columns; nodes are counted over all of them.

    `roots` are the trees' places at the start, shape (trees, 1), `ends` the nodes that those
    come to which take all steps. Best where the deepest trees stand first.
    """

    columns: int
    roots: Ints
    steps: tuple[Step, ...]
    ends: Ints

    @classmethod
    def of(cls, trees: Sequence[Tree], columns: int) -> Forest:
        """Lay out trees on so many columns.

        Raises ValueError if a tree is deeper than DEEPEST, or leads out of itself or of the
        columns.
        """
        feature, threshold, missing_right, left, right, every = _one_behind_the_other(trees)
        inner = left != every
        if (feature[inner] < 0).any() or (feature[inner] >= columns).any():
            raise ValueError("a tree looks at a column that is not there")
        looks = np.where(inner, feature + columns * missing_right, 0)
        sizes = np.array([len(tree.left) for tree in trees])
        nodes = np.cumsum(sizes) - sizes
        active = len(trees)
        steps: list[Step] = []
        while inner[nodes].any():
            if len(steps) == DEEPEST:
                raise ValueError(f"a tree is deeper than {DEEPEST}")
            asking = inner[nodes].reshape(active, -1).any(axis=1)
            active = int(np.flatnonzero(asking)[-1]) + 1
            nodes, left_behind = np.split(nodes, [active << len(steps)])
            steps.append(Step(active, looks[nodes], threshold[nodes], left_behind))
            nodes = np.stack([left[nodes], right[nodes]], axis=1).ravel()
        return cls(columns, np.arange(len(trees))[:, None], tuple(steps), nodes)

    def nodes(self, table: Matrix) -> Ints:
        """Return the node that each row of a table (n, columns) ends at, shape (trees, n)."""
        rows = len(table)
        twice = np.empty((rows, 2 * self.columns), np.float32)
        np.fmax(table, -np.inf, out=twice[:, : self.columns])
        np.fmin(table, np.inf, out=twice[:, self.columns :])
        values = twice.ravel()
        begins = np.arange(rows) * (2 * self.columns)
        place = np.repeat(self.roots, rows, axis=1)
        found: list[Ints] = []
        for step in self.steps:
            if step.trees < len(place):
                found.append(step.ends.take(place[step.trees :] - len(step.features)))
                place = place[: step.trees]
            look = step.features.take(place)
            look += begins
            right = values.take(look) >= step.thresholds.take(place)
            place += place
            place += right
        found.append(self.ends.take(place))
        return np.concatenate(found[::-1]) if len(found) > 1 else found[0]


def _one_behind_the_other(trees: Sequence[Tree]) -> tuple[NDArray[Any], ...]:
    """Return the fields of all nodes, children counted over all trees, and their numbers.

    A leaf leads to itself.
    """
    parts: list[tuple[NDArray[Any], ...]] = []
    start = 0
    for tree in trees:
        size = len(tree.left)
        every = np.arange(start, start + size)
        leaf = tree.left < 0
        children = [np.where(leaf, every, side + start) for side in (tree.left, tree.right)]
        if any((side < start).any() or (side >= start + size).any() for side in children):
            raise ValueError("a tree leads out of itself")
        parts.append((tree.feature, tree.threshold, tree.missing_right, *children, every))
        if not size or len({len(part) for part in parts[-1]}) > 1:
            raise ValueError("the parts of a tree do not fit")
        start += size
    return tuple(np.concatenate(mine) for mine in zip(*parts, strict=True))
