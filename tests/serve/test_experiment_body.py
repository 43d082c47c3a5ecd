from __future__ import annotations

from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from crimeguard.evaluate.experiment_plan import make_plan
from crimeguard.registry.contest import Wanted
from crimeguard.serve.experiment_body import EXPERIMENT_BODY, read_asked
from crimeguard.serve.problem import Problem

SCHEMA = EXPERIMENT_BODY["content"]["application/json"]["schema"]
SHADOW = {"mode": "shadow", "version": "7"}
SPLIT = {"mode": "split", "version": 7, "share": 0.1}


def test_a_shadow_and_a_split_are_read() -> None:
    asked = read_asked(SHADOW)
    assert asked.wanted == Wanted("shadow", "7")
    assert asked.plan == make_plan("shadow")
    assert asked.why == "by the API"
    asked = read_asked({**SPLIT, "why": " May ", "effect": 0.05, "method": "fixed",
                        "maturity_days": 0, "baseline": 0.8})  # fmt: skip
    assert asked.wanted == Wanted("split", "7", 0.1)
    assert asked.why == "May"
    assert asked.plan == make_plan("split", 0.1, effect=0.05, method="fixed", maturity_days=0.0,
                                   baseline=0.8)  # fmt: skip
    assert read_asked({**SHADOW, "horizon": 5}).plan.horizon == 5


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (None, ""),
        ([], ""),
        ("shadow", ""),
        ({}, "/mode"),
        ({"mode": "shadow"}, "/version"),
        ({**SHADOW, "mode": "mirror"}, "/mode"),
        ({**SHADOW, "mode": ["shadow"]}, "/mode"),
        ({**SHADOW, "version": "x"}, "/version"),
        ({**SHADOW, "version": True}, "/version"),
        ({**SHADOW, "version": 0}, "/version"),
        ({**SHADOW, "version": 1.5}, "/version"),
        ({**SHADOW, "version": None}, "/version"),
        ({**SHADOW, "share": 0.5}, "/share"),
        ({**SHADOW, "share": None}, "/share"),
        ({**SPLIT, "share": 0}, "/share"),
        ({**SPLIT, "share": 1}, "/share"),
        ({**SPLIT, "share": "0.1"}, "/share"),
        ({"mode": "split", "version": 7}, "/share"),
        ({**SHADOW, "alpha": 0}, "/alpha"),
        ({**SHADOW, "alpha": True}, "/alpha"),
        ({**SHADOW, "alpha": 10**400}, "/alpha"),
        ({**SHADOW, "power": 1}, "/power"),
        ({**SHADOW, "effect": 0.5}, "/effect"),
        ({**SHADOW, "horizon": 0}, "/horizon"),
        ({**SHADOW, "horizon": 10.0}, "/horizon"),
        ({**SHADOW, "method": "bayes"}, "/method"),
        ({**SHADOW, "maturity_days": -1}, "/maturity_days"),
        ({**SHADOW, "why": 7}, "/why"),
        ({**SHADOW, "why": "x" * 501}, "/why"),
        ({**SHADOW, "x/y": 1}, "/x~1y"),
    ],
)
def test_what_is_wrong_is_pointed_at(body: Any, pointer: str) -> None:
    with pytest.raises(Problem) as refused:
        read_asked(body)
    assert refused.value.kind.slug == "bad-experiment"
    assert pointer in [flaw.pointer for flaw in refused.value.flaws]


def test_the_schema_takes_the_examples() -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for example in EXPERIMENT_BODY["content"]["application/json"]["examples"].values():
        validator.validate(example["value"])
        assert read_asked(example["value"])
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**SHADOW, "x": 1})
