"""The tree members as they answer: XGBoost's and LightGBM's own files, read into arrays.

Both libraries are needed to train and not to answer. A call of XGBoost costs 200 us however
few rows it is given, LightGBM takes half as long again for many, and the two bring an OpenMP
each. Walked as arrays, one incident takes 50 us and a batch 6 us an incident; the answers are
the libraries' own to the last bit, since sums are taken in the order and precision of theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from crimeguard.features.columns import Floats
from crimeguard.features.dense import Matrix
from crimeguard.train.forest import Forest, Tree
from crimeguard.train.linear import CLASSES

BLOCK: Final = 256  # rows that walk together: their places in all trees fit into the cache


@dataclass(frozen=True, slots=True)
class XgboostTrees:
    """Vector leaves: `native` is XGBoost's JSON, `added` what each node adds, (nodes, 15)."""

    native: bytes
    columns: int
    trees: list[Tree]
    added: NDArray[np.float32]

    @classmethod
    def read(cls, native: bytes) -> XgboostTrees:
        """Read XGBoost's JSON form; ValueError or KeyError if it is not of our making."""
        learner = orjson.loads(native)["learner"]
        told = learner["learner_model_param"]
        if int(told["num_class"]) != CLASSES or learner["gradient_booster"]["name"] != "gbtree":
            raise ValueError("XGBoost's model is of another kind")
        parts = [_xgboost_tree(tree) for tree in learner["gradient_booster"]["model"]["trees"]]
        trees, added = [tree for tree, _ in parts], np.concatenate([vector for _, vector in parts])
        return cls(native, int(told["num_feature"]), trees, added)

    def save(self, path: Path) -> None:
        """Write XGBoost's own file."""
        path.write_bytes(self.native)


@dataclass(frozen=True, slots=True)
class LightgbmTrees:
    """A tree a category: `native` is LightGBM's text, `added` what each node adds, (nodes,)."""

    native: bytes
    columns: int
    trees: list[Tree]
    added: Floats

    @classmethod
    def read(cls, native: bytes) -> LightgbmTrees:
        """Read LightGBM's text form; ValueError or KeyError if it is not of our making."""
        head, *texts = native.decode().split("\nTree=")
        told = _fields(head)
        if int(told["num_tree_per_iteration"]) != CLASSES or len(texts) % CLASSES:
            raise ValueError("LightGBM's model is of another kind")
        parts = [_lightgbm_tree(text) for text in texts]
        trees, added = [tree for tree, _ in parts], np.concatenate([value for _, value in parts])
        return cls(native, int(told["max_feature_idx"]) + 1, trees, added)

    def save(self, path: Path) -> None:
        """Write LightGBM's own file."""
        path.write_bytes(self.native)


@dataclass(frozen=True, slots=True)
class Boosters:
    """Both members' trees side by side in one forest, those of XGBoost first."""

    xgboost: XgboostTrees
    lightgbm: LightgbmTrees
    forest: Forest

    @classmethod
    def of(cls, xgboost: XgboostTrees, lightgbm: LightgbmTrees) -> Boosters:
        """Lay out the trees of both; ValueError if they do not look at the same table."""
        if xgboost.columns != lightgbm.columns:
            raise ValueError("XGBoost and LightGBM look at different tables")
        return cls(xgboost, lightgbm, Forest.of([*xgboost.trees, *lightgbm.trees], xgboost.columns))

    def scores(self, dense: Matrix, linear: Floats) -> tuple[Floats, Floats]:
        """Return the log-odds (n, 15) of XGBoost and of LightGBM."""
        table = with_linear(dense, linear)
        first, second = np.empty_like(linear), np.empty_like(linear)
        for start in range(0, len(table), BLOCK):
            rows = slice(start, start + BLOCK)
            nodes = self.forest.nodes(table[rows])
            cut = len(self.xgboost.trees)
            first[rows] = self._xgboost(nodes[:cut], linear[rows])
            second[rows] = self._lightgbm(nodes[cut:] - len(self.xgboost.added))
        second += linear
        return first, second

    def _xgboost(self, nodes: NDArray[np.int64], linear: Floats) -> NDArray[np.float32]:
        """Add tree after tree to the linear scores, in single precision."""
        vectors = np.empty((len(nodes) + 1, *linear.shape), np.float32)
        vectors[0] = linear
        self.xgboost.added.take(nodes, axis=0, out=vectors[1:], mode="clip")
        return np.asarray(np.add.reduce(vectors))

    def _lightgbm(self, nodes: NDArray[np.int64]) -> Floats:
        """Add round after round, in double precision."""
        rounds = self.lightgbm.added.take(nodes).reshape(-1, CLASSES, nodes.shape[1])
        return np.asarray(np.add.reduce(rounds).T)


def with_linear(dense: Matrix, linear: Floats) -> Matrix:
    """Put the linear scores behind the columns of the matrix: what both members look at."""
    return np.concatenate([dense, linear], axis=1, dtype=np.float32, casting="same_kind")


def _xgboost_tree(tree: dict[str, Any]) -> tuple[Tree, NDArray[np.float32]]:
    if any(tree["split_type"]):
        raise ValueError("a tree of XGBoost asks for a category")
    left, right = np.array(tree["left_children"]), np.array(tree["right_children"])
    leaf = left < 0
    vectors = np.array(tree["leaf_weights"], np.float32).reshape(-1, CLASSES)
    read = Tree(
        np.array(tree["split_indices"]),
        np.array(tree["split_conditions"], np.float32),
        ~np.array(tree["default_left"], bool),
        left,
        np.where(leaf, -1, right),
    )
    # At a leaf, XGBoost keeps its number among the leaves in place of a child.
    return read, vectors[np.where(leaf, right, 0)]


def _lightgbm_tree(text: str) -> tuple[Tree, Floats]:
    """Read one tree of LightGBM's text form: nodes first, then leaves."""
    told = _fields(text)
    added = np.array(told["leaf_value"].split(), np.float64)
    inner = len(added) - 1
    if told["is_linear"] != "0":
        raise ValueError("a leaf of LightGBM holds a function")
    # A tree that learnt nothing is one leaf, and is written without the rest.
    feature, kind, left, right = (
        np.array(told[name].split() if inner else [], np.int64)
        for name in ("split_feature", "decision_type", "left_child", "right_child")
    )
    bound = np.array(told["threshold"].split() if inner else [], np.float64)
    if {len(part) for part in (feature, kind, left, right, bound)} != {inner}:
        raise ValueError("the parts of a tree of LightGBM do not fit")
    if (kind & 5).any():
        raise ValueError("a tree of LightGBM asks for a category, or takes zero for missing")
    # What is missing counts as zero where no row of training missed it.
    missing_right = np.where(kind & 8, (kind & 2) == 0, bound < 0)
    # Left is "at most" there and "less than" here: by the next number of single precision.
    with np.errstate(over="ignore"):
        single = bound.astype(np.float32)
    above = np.where(single > bound, single, np.nextafter(single, np.float32(np.inf)))
    children = [np.where(child < 0, inner + ~child, child) for child in (left, right)]
    leaves = np.full(len(added), -1)
    tree = Tree(
        np.append(feature, leaves),
        np.append(above, leaves).astype(np.float32),
        np.append(missing_right, leaves > 0),
        np.append(children[0], leaves),
        np.append(children[1], leaves),
    )
    return tree, np.append(np.zeros(inner), added)


def _fields(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines())
    return {name: value for name, sign, value in pairs if sign}
