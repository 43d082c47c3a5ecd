from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest

from crimeguard.domain.level import InformationLevel
from crimeguard.features.columns import Columns, Floats, Ints, concatenate
from crimeguard.features.dense import Matrix
from crimeguard.registry.bundle import Bundle
from crimeguard.train.boosters import fit_lightgbm, fit_xgboost
from crimeguard.train.linear import CLASSES
from crimeguard.train.params import LightgbmParams, XgboostParams
from crimeguard.train.trees import BLOCK, Boosters, LightgbmTrees, XgboostTrees, with_linear
from tests.train.libraries import answer
from tests.train.test_boosters import LIGHTGBM, XGBOOST, base_rate, rows

SIZES = (1, 2, 3, 7, 8, 64, BLOCK, BLOCK + 1, 1000)


def some_linear(count: int, seed: int = 7) -> Floats:
    return np.random.default_rng(seed).normal(0, 3, (count, CLASSES))


def both(
    dense: Matrix, linear: Floats, target: Ints,
    first: XgboostParams = XGBOOST, second: LightgbmParams = LIGHTGBM,
) -> Boosters:  # fmt: skip
    return Boosters.of(
        fit_xgboost(dense, linear, target, first, seed=1, threads=1),
        fit_lightgbm(dense, linear, target, second, seed=1, threads=1),
    )


@pytest.fixture(scope="module")
def boosters() -> Boosters:
    dense, target = rows()
    return both(dense, some_linear(len(dense)), target)


def assert_same(boosters: Boosters, dense: Matrix, linear: Floats) -> None:
    """Hold the answers against the libraries', to the last bit, however many rows are asked."""
    expected = tuple(answer(mine, dense, linear) for mine in (boosters.xgboost, boosters.lightgbm))
    for size in (*SIZES, len(dense)):
        for begin in range(0, min(len(dense), 40 * size), size):
            part = slice(begin, min(begin + size, len(dense)))
            found = boosters.scores(dense[part], linear[part])
            for mine, theirs in zip(found, expected, strict=True):
                assert mine.dtype == theirs.dtype
                assert mine.tobytes() == theirs[part].tobytes(), (size, begin)


@pytest.mark.parametrize("gaps", [False, True])
def test_the_answers_are_the_libraries_to_the_last_bit(gaps: bool) -> None:
    dense, target = rows()
    dense = dense if gaps else np.nan_to_num(dense)
    boosters = both(dense, some_linear(len(dense)), target)
    asked, _ = rows(3_000, seed=3)
    asked[:1500] = np.round(asked[:1500], 1)
    # What a node compares with, the numbers next to it, zero, and what no row of training had.
    bounds = np.concatenate([tree.threshold for tree in boosters.lightgbm.trees])
    edges = [bounds, *(np.nextafter(bounds, np.float32(s * np.inf)) for s in (-1, 1)),
             np.array([0.0, -0.0, 1e30, -1e30, np.nan], np.float32)]  # fmt: skip
    asked[:800] = np.random.default_rng(8).choice(np.concatenate(edges), (800, 5))
    # LightGBM takes numbers as small as these for zero before it looks at them.
    asked[np.abs(asked) < 1e-34] = 0
    assert_same(boosters, asked, some_linear(3_000, seed=9))


def test_trees_that_learnt_nothing_add_nothing() -> None:
    dense, target = rows(60)
    linear = base_rate(target)
    second = replace(LIGHTGBM, min_rows_in_leaf=1000)
    boosters = both(dense, linear, target, second=second)
    assert all(len(tree.left) == 1 for tree in boosters.lightgbm.trees)
    assert_same(boosters, dense, linear)


def test_the_tiny_bundles_boosters_answer_as_the_libraries(
    tiny_bundle: Path, incidents: pl.DataFrame
) -> None:
    model = Bundle.load(tiny_bundle).model
    whole = Columns.from_frame(incidents.head(900))
    columns = concatenate([whole.at_level(level) for level in InformationLevel])
    features = model.featurizer.transform(columns)
    assert_same(model.members.boosters, features.dense, model.members.linear.scores(features))


def test_no_row_has_no_scores(boosters: Boosters) -> None:
    nobody = np.zeros((0, 5), np.float32), np.zeros((0, CLASSES))
    assert [mine.shape for mine in boosters.scores(*nobody)] == [(0, CLASSES)] * 2


def test_the_linear_scores_stand_behind_the_fields() -> None:
    dense, target = rows(20)
    linear = base_rate(target)
    table = with_linear(dense, linear)
    assert table.dtype == np.float32
    assert np.array_equal(table[:, :5], dense, equal_nan=True)
    assert np.array_equal(table[:, 5:], linear.astype(np.float32))


def test_what_is_saved_is_the_libraries_own_file(boosters: Boosters, tmp_path: Path) -> None:
    import lightgbm
    import xgboost

    boosters.xgboost.save(tmp_path / "xgboost.json")
    boosters.lightgbm.save(tmp_path / "lightgbm.txt")
    theirs = xgboost.Booster(model_file=tmp_path / "xgboost.json")
    others = lightgbm.Booster(model_file=tmp_path / "lightgbm.txt")
    assert theirs.num_boosted_rounds() == XGBOOST.rounds
    assert others.num_trees() == LIGHTGBM.rounds * CLASSES
    again = Boosters.of(
        XgboostTrees.read((tmp_path / "xgboost.json").read_bytes()),
        LightgbmTrees.read((tmp_path / "lightgbm.txt").read_bytes()),
    )
    dense, linear = rows(30)[0], some_linear(30)
    for mine, before in zip(again.scores(dense, linear), boosters.scores(dense, linear),
                            strict=True):  # fmt: skip
        assert mine.tobytes() == before.tobytes()


def change_model(native: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    model = orjson.loads(native)
    change(model["learner"])
    return orjson.dumps(model)


def first_tree(learner: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = learner["gradient_booster"]["model"]["trees"][0]
    return tree


@pytest.mark.parametrize(
    "change",
    [
        lambda learner: learner["learner_model_param"].update(num_class="3"),
        lambda learner: learner["gradient_booster"].update(name="dart"),
        lambda learner: first_tree(learner)["split_type"].__setitem__(0, 1),
        lambda learner: first_tree(learner).pop("leaf_weights"),
        lambda learner: first_tree(learner)["leaf_weights"].pop(),
        lambda learner: first_tree(learner)["split_indices"].pop(),
        lambda learner: first_tree(learner)["split_indices"].__setitem__(0, 20),
        lambda learner: first_tree(learner)["left_children"].__setitem__(0, 5_000),
        lambda learner: first_tree(learner)["left_children"].__setitem__(1, 0),
        lambda learner: learner["learner_model_param"].update(num_feature="19"),
    ],
)
def test_another_kind_of_xgboost_model_is_refused(
    boosters: Boosters, change: Callable[[dict[str, Any]], None]
) -> None:
    changed = change_model(boosters.xgboost.native, change)
    with pytest.raises((ValueError, LookupError)):
        Boosters.of(XgboostTrees.read(changed), boosters.lightgbm)


@pytest.mark.parametrize(
    ("found", "put"),
    [
        (b"num_tree_per_iteration=15", b"num_tree_per_iteration=3"),
        (b"max_feature_idx=19", b"max_feature_idx=18"),
        (b"\ndecision_type=", b"\ndecision_type=1 "),
        (b"\ndecision_type=", b"\ndecision_type=4 "),
        (b"\nsplit_feature=", b"\nsplit_feature=99 "),
        (b"\nleft_child=", b"\nleft_child=77 "),
        (b"\nleaf_value=", b"\nleaf_value=0 "),
        (b"\nthreshold=", b"\nbound="),
        (b"is_linear=0", b"is_linear=1"),
        (b"\nTree=0\n", b"\nNone=0\n"),
    ],
)
def test_another_kind_of_lightgbm_model_is_refused(
    boosters: Boosters, found: bytes, put: bytes
) -> None:
    head, *trees = boosters.lightgbm.native.split(b"\nTree=")
    trees.sort(key=lambda tree: tree.startswith(b"0\n") or b"num_leaves=1\n" in tree)
    native = b"\nTree=".join([head, *trees])
    assert found in native
    changed = native.replace(found, put, 1)
    with pytest.raises((ValueError, LookupError)):
        Boosters.of(boosters.xgboost, LightgbmTrees.read(changed))


def test_neither_library_is_loaded_to_answer(tiny_bundle: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from crimeguard.registry.golden import load_checked
load_checked(Path({str(tiny_bundle)!r}))
print(sorted({{"xgboost", "lightgbm", "sklearn", "pandas"}} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
