from __future__ import annotations

from typing import Any

import pytest

from crimeguard.domain.errors import UsageError
from crimeguard.evaluate.betting import Mode
from crimeguard.evaluate.experiment_plan import Plan, flaws_of, make_plan


def test_the_fixed_horizon_is_that_of_the_textbooks() -> None:
    # Connor 1987: 10 % discordant pairs, a difference of 2 points, 80 % power.
    assert make_plan("shadow", method="fixed").horizon == 1_960
    # Two shares of 0.75 and 0.70, as many of each: 1,251 a group (Fleiss, without correction).
    plan = make_plan("split", 0.5, method="fixed", effect=0.05, baseline=0.75)
    assert plan.horizon == pytest.approx(2 * 1_251, rel=0.005)


@pytest.mark.parametrize(("mode", "share"), [("shadow", 0.0), ("split", 0.5), ("split", 0.1)])
def test_more_is_needed_for_less(mode: Mode, share: float) -> None:
    def horizon(**options: Any) -> int:
        return make_plan(mode, share, **options).horizon

    usual = horizon()
    assert horizon(effect=0.01) > 3.9 * usual
    assert horizon(power=0.9) > usual < horizon(alpha=0.01)
    assert horizon(method="fixed") < usual / 2
    assert horizon(horizon=77) == 77


def test_a_shadow_needs_least_and_a_small_share_most() -> None:
    half, tenth = (make_plan("split", share).horizon for share in (0.5, 0.1))
    assert make_plan("shadow").horizon < half / 5 < tenth / 10


@pytest.mark.parametrize(
    ("mode", "share", "options", "name"),
    [
        ("split", 0.0, {}, "share"),
        ("split", 1.0, {}, "share"),
        ("split", float("nan"), {}, "share"),
        ("shadow", 0.5, {}, "share"),
        ("shadow", 0.0, {"alpha": 0.0}, "alpha"),
        ("shadow", 0.0, {"alpha": 0.6}, "alpha"),
        ("shadow", 0.0, {"power": 1.0}, "power"),
        ("shadow", 0.0, {"effect": 0.0}, "effect"),
        ("shadow", 0.0, {"effect": 0.2, "discordance": 0.1}, "effect"),
        ("shadow", 0.0, {"discordance": 1.5}, "discordance"),
        ("split", 0.5, {"effect": 0.3, "baseline": 0.75}, "effect"),
        ("split", 0.5, {"baseline": 0.0}, "baseline"),
        ("shadow", 0.0, {"maturity_days": -1.0}, "maturity_days"),
        ("shadow", 0.0, {"maturity_days": float("inf")}, "maturity_days"),
        ("shadow", 0.0, {"horizon": -5}, "horizon"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_name(
    mode: Mode, share: float, options: dict[str, Any], name: str
) -> None:
    with pytest.raises(UsageError, match=name):
        make_plan(mode, share, **options)


def test_a_good_plan_has_no_flaws_and_survives_json() -> None:
    plan = make_plan("split", 0.3, effect=0.05)
    assert list(flaws_of("split", 0.3, plan)) == []
    assert Plan(**plan.to_dict()) == plan
