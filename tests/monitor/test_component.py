from __future__ import annotations

import json

import pytest

from crimeguard.monitor.component import Component


def component(distance: float, critical: float = 0.2, *, significant: bool = True) -> Component:
    return Component("area", "field", distance, critical, significant, "3: 5.0% -> 9.0%",
                     {"chi_square_p": 1.23456789e-5})  # fmt: skip


def test_the_score_is_half_where_the_distance_is_critical() -> None:
    assert component(0.2).score == 0.5
    assert component(0.6).score == pytest.approx(0.75)
    assert component(0.05).score == pytest.approx(0.2)
    scores = [component(step / 50).score for step in range(51)]
    assert scores == sorted(scores)
    assert scores[0] == 0
    assert max(scores) < 1


def test_what_chance_explains_scores_nothing() -> None:
    assert component(0.9, significant=False).score == 0
    assert component(-0.1).score == 0


def test_a_status_begins_beyond_its_threshold() -> None:
    # 0.5 exactly, and one of each a little below and above.
    assert component(0.2).status(0.3, 0.5) == "warning"
    assert component(0.2001).status(0.3, 0.5) == "critical"
    assert component(0.0858).status(0.3, 0.5) == "warning"
    assert component(0.0857).status(0.3, 0.5) == "ok"
    assert component(0.9, significant=False).status(0.3, 0.5) == "ok"


def test_it_says_everything_in_plain_values() -> None:
    found = component(0.6).to_dict(0.3, 0.5)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found == {
        "name": "area", "kind": "field", "score": 0.75, "status": "critical", "distance": 0.6,
        "critical_distance": 0.2, "significant": True, "words": "3: 5.0% -> 9.0%",
        "measures": {"chi_square_p": 1.2346e-05},
    }  # fmt: skip
