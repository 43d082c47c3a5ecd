from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from crimeguard.monitor.component import Component, Kind
from crimeguard.monitor.observed import UNKNOWN, Observed
from crimeguard.monitor.performance import Estimate, Performance
from crimeguard.monitor.verdict import Verdict, judge_window
from crimeguard.registry.bundle import Bundle
from crimeguard.train.params import MonitorParams
from tests.monitor.windows import PARAMS, named

SOME = Performance(0.8, Estimate.around(0.8, 0.01, 500), None, None)


def component(score: float, name: str = "area", kind: Kind = "field") -> Component:
    """Return a component of that score."""
    distance = score / (1 - score)
    return Component(name, kind, distance, 1.0, significant=True, words="")


def verdict(*components: Component, performance: Performance | None = SOME) -> Verdict:
    return Verdict(500, 0, "2023-03-01", "2023-03-07", components, performance, MonitorParams())


@pytest.mark.parametrize(
    ("score", "expected"),
    [(0.0, "ok"), (0.299, "ok"), (0.301, "warning"), (0.499, "warning"), (0.501, "critical"),
     (0.99, "critical")],
)  # fmt: skip
def test_the_largest_score_decides(score: float, expected: str) -> None:
    found = verdict(component(0.1, "hour"), component(score), component(0.05, "lat"))
    assert found.status == found.model_status == expected
    assert found.score == pytest.approx(max(score, 0.1))


def test_a_threshold_itself_is_not_beyond_it() -> None:
    half = Component("area", "field", 0.25, 0.25, significant=True, words="")
    assert half.score == 0.5
    assert verdict(half).status == "warning"
    assert verdict(half).drifted == []
    assert replace(verdict(half), params=MonitorParams(warning=0.5)).status == "ok"


def test_the_thresholds_are_the_parameters() -> None:
    strict = replace(verdict(component(0.4)), params=MonitorParams(warning=0.1, critical=0.35))
    assert strict.status == "critical"
    assert [item.name for item in strict.drifted] == ["area"]


def test_what_has_drifted_comes_with_the_worst_first() -> None:
    found = verdict(component(0.6, "a"), component(0.4, "b"), component(0.9, "c"),
                    component(0.7, "d"))  # fmt: skip
    assert [item.name for item in found.drifted] == ["c", "d", "a"]


def test_the_number_of_incidents_is_an_alarm_but_none_of_the_model() -> None:
    found = verdict(component(0.9, "volume", "volume"), component(0.35))
    assert found.status == "critical"
    assert found.model_status == "warning"
    alone = verdict(component(0.9, "volume", "volume"))
    assert (alone.status, alone.model_status) == ("critical", "ok")


def test_without_anything_to_compare_nothing_is_wrong() -> None:
    assert verdict().status == "ok"
    assert verdict().score == 0


def test_too_few_is_a_status_of_its_own() -> None:
    found = verdict(performance=None)
    assert found.status == found.model_status == "too few"
    assert found.to_dict()["performance"] is None


@pytest.mark.parametrize("rows", [299, 300])
def test_below_the_least_rows_nothing_is_said(champion: Bundle, quiet: Observed, rows: int) -> None:
    part = quiet.take(np.arange(len(quiet)) < rows)
    found = judge_window(champion.reference, part, PARAMS)
    assert (found.status == "too few") == (rows < PARAMS.min_rows)
    assert bool(found.components) == (rows == 300)
    assert (found.rows, found.labels) == (rows, rows)
    assert found.first == "2023-03-05"


def test_a_window_is_judged_by_everything(champion: Bundle, quiet: Observed) -> None:
    found = judge_window(champion.reference, quiet, PARAMS)
    kinds = {item.kind for item in found.components}
    assert kinds == {"field", "correlation", "prediction", "target", "volume", "performance"}
    assert (found.rows, found.labels) == (2000, 2000)
    assert (found.first, found.last) == ("2023-03-05", "2023-03-18")
    assert {"estimated accuracy", "realised accuracy"} <= named(found).keys()


def test_labels_are_counted_with_those_from_before_the_window(
    champion: Bundle, quiet: Observed
) -> None:
    none = replace(quiet, label=np.full(len(quiet), UNKNOWN))
    assert judge_window(champion.reference, none, PARAMS).labels == 0
    both = replace(none, older=quiet.take(np.arange(len(quiet)) < 250))
    assert judge_window(champion.reference, both, PARAMS).labels == 250


def test_everything_is_json_worst_first(champion: Bundle, quiet: Observed) -> None:
    third = quiet.take(np.arange(len(quiet)) % 3 == 0)
    found = judge_window(champion.reference, third, PARAMS).to_dict()
    plain = json.loads(json.dumps(found, allow_nan=False))
    assert plain == found
    assert plain["status"] == "critical"
    assert plain["model_status"] == "ok"
    assert plain["drifted"] == ["volume"]
    scores = [item["score"] for item in plain["components"]]
    assert scores == sorted(scores, reverse=True)
    assert plain["score"] == scores[0]
    assert (plain["warning"], plain["critical"]) == (0.3, 0.5)
    assert {item["status"] for item in plain["components"]} <= {"ok", "warning", "critical"}


@pytest.mark.parametrize("case", ["late", "blank", "dateless", "alike", "one level", "empty"])
def test_windows_at_the_edge_have_no_nan(champion: Bundle, quiet: Observed, case: str) -> None:
    fields = quiet.fields
    cases = {
        "late": fields.with_columns(days_until_reported=pl.lit(float("nan"))),
        "blank": fields.select(
            pl.lit(None, dtype).alias(name) if name not in ("date_occ", "mocodes") else pl.col(name)
            for name, dtype in fields.schema.items()
        ),
        "dateless": fields.with_columns(date_occ=pl.lit(None, pl.Date)),
        "alike": pl.concat([fields.head(1)] * len(quiet)),
    }
    part = replace(quiet, fields=cases.get(case, fields))
    if case == "one level":
        part = replace(part, level=np.zeros(len(part), np.int64))
    if case == "empty":
        part = part.take(np.zeros(len(part), bool))
    found = judge_window(champion.reference, part, PARAMS)
    json.dumps(found.to_dict(), allow_nan=False)
    assert (found.status == "too few") == (case == "empty")
    assert (found.first is None) == (case in ("dateless", "empty"))
