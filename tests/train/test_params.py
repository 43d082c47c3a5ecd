from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from crimeguard.domain.errors import UsageError
from crimeguard.train.params import Params, load_params, params_from_dict

ROOT = Path(__file__).parents[2]


def keys(table: dict[str, Any], prefix: str = "") -> set[str]:
    named = set()
    for key, value in table.items():
        named |= keys(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key}
    return named


def test_the_file_of_the_repository_states_every_built_in_value() -> None:
    written = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert keys(written) == keys(Params().to_dict())
    assert load_params(ROOT / "params.yaml") == Params()


def test_without_a_file_the_built_in_values_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_params() == Params()
    (tmp_path / "params.yaml").write_text("seed: 4")
    assert load_params().seed == 4


def test_what_is_not_named_keeps_its_value(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("split: {embargo_days: 0}\nlinear: {spread_call: 1}\n")
    params = load_params(path)
    assert params.split.embargo_days == 0
    assert params.linear.spread_call == 1
    assert params.split.calibration_days == Params().split.calibration_days
    assert params.xgboost == Params().xgboost
    path.write_text("# nothing\n")
    assert load_params(path) == Params()


def test_a_dictionary_and_back_is_the_same() -> None:
    assert params_from_dict(Params().to_dict(), source="the card") == Params()


def test_every_section_can_be_set() -> None:
    for item in fields(Params):
        section = getattr(Params(), item.name)
        if is_dataclass(section):
            with pytest.raises(UsageError, match=rf"x: {item.name}\.nonsense is no parameter"):
                params_from_dict({item.name: {"nonsense": 1}}, source="x")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("speed: 3", "speed"),
        ("xgboost: {depth: 3}", "xgboost.depth"),
        ("xgboost: 3", "xgboost"),
        ("xgboost:", "xgboost"),
        ("seed: high", "seed"),
        ("seed: 1.5", "seed"),
        ("seed: true", "seed"),
        ("seed: null", "seed"),
        ("coverage: '0.9'", "coverage"),
        ("coverage: true", "coverage"),
        ("split: {reported_by_then: 1}", "split.reported_by_then"),
        ("split: {reported_by_then: 'no'}", "split.reported_by_then"),
        ("threads: 0", "threads"),
        ("seed: -1", "seed"),
        ("split: {embargo_days: -1}", "split.embargo_days"),
        ("linear: {spread_call: -0.1}", "linear.spread_call"),
        ("linear: {spread_call: .nan}", "linear.spread_call"),
        ("linear: {spread_call: .inf}", "linear.spread_call"),
        ("coverage: 1.2", "coverage"),
        ("split: {test_share: 1.5}", "split.test_share"),
        ("lightgbm: {column_share: 2}", "lightgbm.column_share"),
        ("checks: {max_ece: 3}", "checks.max_ece"),
        ("1: 2", "1"),
        ("- 1", "table"),
        ("just words", "table"),
        ("a: [", "YAML"),
        ("\tseed: 1", "YAML"),
    ],
)
def test_a_wrong_file_is_a_usage_error_that_names_what_is_wrong(
    tmp_path: Path, text: str, named: str
) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_params(path)
    assert named in caught.value.what
    assert str(path) in caught.value.what
    assert caught.value.exit_code == 2


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no parameter file"):
        load_params(tmp_path / "none.yaml")
    with pytest.raises(UsageError, match="cannot be read"):
        load_params(tmp_path)
    (tmp_path / "p.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not YAML"):
        load_params(tmp_path / "p.yaml")


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(f"seed: !!python/object/apply:pathlib.Path.touch ['{tmp_path / 'made'}']")
    with pytest.raises(UsageError, match="not YAML"):
        load_params(path)
    assert not (tmp_path / "made").exists()
