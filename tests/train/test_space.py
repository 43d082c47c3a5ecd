from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from crimeguard.domain.errors import UsageError
from crimeguard.train.params import Params
from crimeguard.train.space import Dimension, load_space, present, with_values

HEAD = "name,low,high,scale\n"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "space.csv"
    path.write_text(text)
    return path


def test_the_built_in_space_holds_the_present_values_and_each_member() -> None:
    space = load_space(None, Params())
    assert {item.name.partition(".")[0] for item in space} == {
        "features", "linear", "xgboost", "lightgbm", "neural",
    }  # fmt: skip
    for item in space:
        now = present(Params(), space)[item.name]
        assert item.low <= now <= item.high
        assert item.whole == isinstance(now, int)


def test_a_table_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "xgboost.rounds,50,200,log\nlinear.spread_call,0.01,1,linear\n")
    assert load_space(path, Params()) == (
        Dimension("xgboost.rounds", 50, 200, log=True),
        Dimension("linear.spread_call", 0.01, 1.0, log=False),
    )


def test_values_change_what_they_name_and_nothing_else() -> None:
    space = (Dimension("xgboost.rounds", 1, 9, log=False), Dimension("neural.l2", 0, 1, log=False))
    changed = with_values(Params(), {"xgboost.rounds": 7, "neural.l2": 0.5})
    assert changed == replace(
        Params(),
        xgboost=replace(Params().xgboost, rounds=7),
        neural=replace(Params().neural, l2=0.5),
    )
    assert present(changed, space) == {"xgboost.rounds": 7, "neural.l2": 0.5}
    assert with_values(Params(), present(Params(), space)) == Params()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no search space"),
        (HEAD, "no search space"),
        ("name,low,high\nxgboost.rounds,1,200\n", "no search space"),
        (HEAD + "xgboost.rounds,1,200\n", "no search space"),
        (HEAD + "xgboost.rounds,1,200,log,more\n", "no search space"),
        (HEAD + 'xgboost.rounds,1,200,"log\n', "no search space"),
        (HEAD + "xgboost.depth,1,8,log\n", "xgboost.depth is no parameter that is a number"),
        (HEAD + "seed,1,8,log\n", "seed shapes no member"),
        (HEAD + "gates.max_loss,0.001,0.1,log\n", "gates.max_loss shapes no member"),
        (HEAD + "split.calibration_days,7,21,log\n", "split.calibration_days shapes no member"),
        (HEAD + "tuning.folds,2,4,log\n", "tuning.folds shapes no member"),
        (HEAD + "xgboost.rounds,1.5,200,log\n", "xgboost.rounds has the bound '1.5'"),
        (HEAD + "xgboost.l2,low,200,log\n", "xgboost.l2 has the bound 'low'"),
        (HEAD + "xgboost.l2,nan,20,log\n", "runs from nan"),
        (HEAD + "xgboost.l2,1,inf,log\n", "xgboost.l2 is inf"),
        (HEAD + "xgboost.rounds,200,50,log\n", "runs from 200 to 50"),
        (HEAD + "xgboost.l2,0,20,log\n", "runs from 0.0 to 20.0"),
        (HEAD + "xgboost.l2,0,20,linear\n", "xgboost.l2 is 0.0"),
        (HEAD + "xgboost.column_share,0.1,1.5,linear\n", "xgboost.column_share is 1.5"),
        (HEAD + "xgboost.rounds,50,200,square\n", "has the scale 'square'"),
        (HEAD + "xgboost.rounds,120,200,log\n", "runs from 120 to 200, and is 100 now"),
        (HEAD + "xgboost.l2,1,20,log\n" * 2, "xgboost.l2 is there twice"),
    ],
)
def test_a_wrong_table_is_a_usage_error_that_names_what_is_wrong(
    tmp_path: Path, text: str, said: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        load_space(path, Params())
    assert said in caught.value.what
    assert str(path) in caught.value.what


def test_a_table_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_space(tmp_path / "none.csv", Params())
    (tmp_path / "space.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="no UTF-8"):
        load_space(tmp_path / "space.csv", Params())
