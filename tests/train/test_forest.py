from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from crimeguard.features.dense import Matrix
from crimeguard.train.forest import DEEPEST, Forest, Tree

NAN = np.nan


def tree(*nodes: tuple[int, float, bool, int, int]) -> Tree:
    """Nodes as feature, threshold, side of what is missing, left and right."""
    feature, threshold, missing_right, left, right = zip(*nodes, strict=True)
    return Tree(
        np.array(feature), np.array(threshold, np.float32), np.array(missing_right),
        np.array(left), np.array(right),
    )  # fmt: skip


LEAF = (0, 0.0, False, -1, -1)
STUMP = tree((1, 2.0, False, 1, 2), LEAF, LEAF)
# Left at the root is a leaf, right another question, which takes what is missing to the right.
UNEVEN = tree((0, 0.0, False, 1, 2), LEAF, (1, 5.0, True, 3, 4), LEAF, LEAF)
ALONE = tree(LEAF)


def chain(length: int) -> Tree:
    """Go right at 1, at 2, at 3 and so on."""
    inner = [(0, float(step), False, 2 * step - 1, 2 * step) for step in range(1, length + 1)]
    nodes: list[tuple[int, float, bool, int, int]] = [inner[0]]
    for step in range(1, length):
        nodes += [LEAF, inner[step]]
    return tree(*nodes, LEAF, LEAF)


def ends(forest: Forest, *rows: list[float]) -> list[list[int]]:
    table: Matrix = np.array(rows, np.float32)
    found: list[list[int]] = forest.nodes(table).tolist()
    return found


def test_a_bound_itself_is_on_the_right() -> None:
    forest = Forest.of([STUMP], 2)
    below = float(np.nextafter(np.float32(2), np.float32(0)))
    assert ends(forest, [9, below], [9, 2.0], [-9, 2.5]) == [[1, 2, 2]]


def test_what_is_missing_goes_where_the_node_says() -> None:
    forest = Forest.of([STUMP, UNEVEN], 2)
    assert ends(forest, [NAN, NAN], [1, NAN]) == [[1, 1], [3 + 1, 3 + 4]]
    turned = replace(STUMP, missing_right=~STUMP.missing_right)
    assert ends(Forest.of([turned], 2), [1, NAN]) == [[2]]


def test_trees_of_any_shape_stand_side_by_side() -> None:
    forest = Forest.of([ALONE, UNEVEN, STUMP], 2)
    assert ends(forest, [-1, 1], [1, 4], [1, 6]) == [[0, 0, 0], [2, 4, 5], [7, 8, 8]]


def test_no_question_is_no_step() -> None:
    assert ends(Forest.of([ALONE, ALONE], 3), [1, 2, 3]) == [[0], [1]]


def test_a_row_does_not_depend_on_the_others() -> None:
    rng = np.random.default_rng(1)
    table = rng.normal(0, 4, (50, 2)).astype(np.float32)
    table[rng.random(table.shape) < 0.3] = NAN
    forest = Forest.of([UNEVEN, STUMP, chain(4)], 2)
    whole = forest.nodes(table)
    for row in range(50):
        assert np.array_equal(forest.nodes(table[row : row + 1])[:, 0], whole[:, row])


@pytest.mark.parametrize("make", [np.ascontiguousarray, np.asfortranarray])
def test_the_layout_of_a_table_does_not_matter(make: Callable[[Matrix], Matrix]) -> None:
    table = np.array([[1, 4], [NAN, 2], [-3, NAN]], np.float32)
    forest = Forest.of([UNEVEN, STUMP], 2)
    assert forest.nodes(make(table)).tolist() == [[3, 1, 1], [7, 7, 6]]


def test_each_tree_stops_at_its_own_depth() -> None:
    rng = np.random.default_rng(2)
    table = rng.uniform(-1, 7, (40, 2)).astype(np.float32)
    trees = [chain(5), chain(2), ALONE, chain(3), STUMP, ALONE]
    forest = Forest.of(trees, 2)
    assert [step.trees for step in forest.steps] == [5, 4, 4, 1, 1]
    whole = forest.nodes(table)
    before = 0
    for mine, one in zip(whole, trees, strict=True):
        assert np.array_equal(mine - before, Forest.of([one], 2).nodes(table)[0])
        before += len(one.left)


def test_a_tree_too_deep_is_refused() -> None:
    deep = Forest.of([chain(DEEPEST), STUMP], 2)
    last = 2 * DEEPEST
    assert ends(deep, [0, 0], [1.5, 0], [DEEPEST, 0]) == [[1, 3, last], [last + 2] * 3]
    with pytest.raises(ValueError, match="deeper"):
        Forest.of([STUMP, chain(DEEPEST + 1)], 2)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"feature": np.array([2, 0, 0])}, "column"),
        ({"feature": np.array([-1, 0, 0])}, "column"),
        ({"left": np.array([3, -1, -1])}, "out of itself"),
        ({"right": np.array([-1, -1, -1])}, "out of itself"),
        ({"left": np.array([1, 0, -1]), "right": np.array([2, 0, -1])}, "deeper"),
        ({"threshold": np.zeros(2, np.float32)}, "do not fit"),
    ],
)
def test_a_tree_that_leads_astray_is_refused(change: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Forest.of([UNEVEN, replace(STUMP, **change)], 2)
