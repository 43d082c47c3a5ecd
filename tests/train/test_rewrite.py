from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from crimeguard.domain.errors import UsageError
from crimeguard.train.params import Params, params_from_dict
from crimeguard.train.rewrite import rewritten, unified_diff
from crimeguard.train.space import Values, with_values

ROOT = Path(__file__).parents[2]


def change(text: str, values: Values) -> str:
    params = params_from_dict(yaml.safe_load(text) or {}, source="x")
    new = rewritten(text, values, params)
    assert params_from_dict(yaml.safe_load(new), source="x") == with_values(params, values)
    return new


def test_in_the_file_of_the_repository_only_the_values_change() -> None:
    text = (ROOT / "params.yaml").read_text()
    new = change(text, {"linear.spread_codes": 2.5, "xgboost.rounds": 80, "neural.l2": 1e-05})
    changed = [
        (old, line) for old, line in zip(text.splitlines(), new.splitlines(), strict=True)
        if old != line
    ]  # fmt: skip
    assert changed == [
        ("  spread_codes: 2.0  # of an MO code or weapon by itself",
         "  spread_codes: 2.5  # of an MO code or weapon by itself"),
        ("  rounds: 100", "  rounds: 80"),
        ("  l2: 0.001", "  l2: 1.0e-05"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "xgboost:\n  rounds: 7\n"),
        ("# mine\n", "# mine\nxgboost:\n  rounds: 7\n"),
        ("seed: 4", "seed: 4\nxgboost:\n  rounds: 7\n"),
        ("xgboost: {rounds: 3, l2: 1}  # short\n", "xgboost: {rounds: 7, l2: 1}  # short\n"),
        ("xgboost: {l2: 1}\nseed: 4\n", "xgboost: {l2: 1, rounds: 7}\nseed: 4\n"),
        ("xgboost:\n    l2: 1.5  # why\n\nseed: 4\n",
         "xgboost:\n    l2: 1.5  # why\n    rounds: 7\n\nseed: 4\n"),
        ("xgboost:\n  l2: 1", "xgboost:\n  l2: 1\n  rounds: 7\n"),
        ("seed: 4\r\nxgboost:\r\n  rounds: 3\r\n", "seed: 4\r\nxgboost:\r\n  rounds: 7\r\n"),
        ("# \U0001f642 é\nxgboost:\n  rounds: 3\n", "# \U0001f642 é\nxgboost:\n  rounds: 7\n"),
    ],
)  # fmt: skip
def test_a_value_is_changed_or_added_where_it_belongs(text: str, expected: str) -> None:
    assert change(text, {"xgboost.rounds": 7}) == expected


@pytest.mark.parametrize(
    "text",
    [
        "xgboost: &trees {rounds: 3}\nlightgbm: *trees\n",
        "{seed: 4}\n",
        "xgboost:\n  rounds: &many 3\nlightgbm:\n  rounds: *many\n",
    ],
)
def test_what_cannot_be_changed_by_itself_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cannot be changed value by value"):
        change(text, {"xgboost.rounds": 7})


def test_the_same_values_change_nothing() -> None:
    text = "xgboost:\n  rounds: 3\n"
    assert change(text, {"xgboost.rounds": 3}) == text
    assert unified_diff(text, text, "params.yaml") == ""


def test_the_diff_is_one_that_patch_reads() -> None:
    assert unified_diff("a: 1\nb: 2", "a: 3\nb: 2\n", "p.yaml").splitlines() == [
        "--- p.yaml", "+++ p.yaml", "@@ -1,2 +1,2 @@", "-a: 1", "-b: 2", "+a: 3", "+b: 2",
    ]  # fmt: skip


def test_built_in_values_that_no_file_says_are_written_into_a_new_one() -> None:
    new = rewritten("", {"xgboost.rounds": 7}, Params())
    assert new == "xgboost:\n  rounds: 7\n"
