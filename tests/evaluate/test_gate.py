from __future__ import annotations

import datetime as dt
import logging
from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from crimeguard.domain.errors import CrimeGuardError, DataError
from crimeguard.domain.level import InformationLevel
from crimeguard.evaluate.checks import Check
from crimeguard.evaluate.evaluation import field_importance
from crimeguard.evaluate.gate import Case, GateVerdict, Outcome, Table, fail_closed
from crimeguard.features.columns import Columns

GOOD = Check("a", 1.0, "at least", 0.5)
BAD = Check("b", float("nan"), "at most", 0.5)
NOTHING = cast("Case", None)


def said(outcome: Outcome) -> GateVerdict:
    return fail_closed("g", lambda _: outcome)(NOTHING)


def test_a_gate_passes_if_every_check_does() -> None:
    table, page = Table("t", ("x",), (("1",),)), "<html>"
    found = said(Outcome((GOOD, GOOD), evidence=(table,), page=page))
    assert (found.gate, found.passed, found.why) == ("g", True, "2 of 2 checks passed")
    assert (found.evidence, found.page) == ((table,), page)


def test_a_gate_refuses_by_any_check_and_says_which() -> None:
    found = said(Outcome((GOOD, BAD), waived="never mind"))
    assert not found.passed
    assert found.why == "b is nan, must be at most 0.5"
    assert found.to_dict()["checks"][1]["value"] is None
    assert found.to_dict()["passed"] is False


def test_a_gate_that_checked_nothing_refuses_unless_it_says_why() -> None:
    assert not said(Outcome()).passed
    assert said(Outcome()).why == "nothing was checked"
    assert said(Outcome(waived="not asked")).passed
    assert said(Outcome(waived="not asked")).why == "not asked"


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ZeroDivisionError("by zero"), "the gate could not judge: ZeroDivisionError('by zero')"),
        (CrimeGuardError("No Python.", fix="Make it."),
         "the gate could not judge: No Python. Make it."),
    ],
)  # fmt: skip
def test_a_gate_that_raises_refuses_and_is_logged(
    error: Exception, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    def look(_: Case) -> Outcome:
        raise error

    with caplog.at_level(logging.WARNING):
        found = fail_closed("g", look)(NOTHING)
    assert (found.passed, found.why, found.checks) == (False, why, ())
    assert "gate g could not judge" in caplog.text
    assert caplog.records[0].exc_info


def test_nothing_but_errors_is_caught() -> None:
    def look(_: Case) -> Outcome:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_closed("g", look)(NOTHING)


def test_a_case_asks_each_model_once_at_each_level(healthy: Case) -> None:
    case = replace(healthy)
    assert list(case.columns) == list(InformationLevel)
    assert case.best is InformationLevel.REPORT
    own = case.challenger_probabilities
    assert case.challenger_probabilities is own
    columns = Columns.from_frame(case.test, level=InformationLevel.VICTIM)
    expected = case.challenger.model.probabilities(columns)
    assert np.array_equal(own[InformationLevel.VICTIM], expected)
    assert case.champion is not None
    theirs = case.champion.model.probabilities(columns)
    assert np.array_equal(case.champion_probabilities[InformationLevel.VICTIM], theirs)
    assert case.champion_importance == field_importance(
        case.champion.model, case.test, case.truth, seed=case.params.seed
    )


def test_a_case_without_a_champion_or_without_rows(healthy: Case) -> None:
    alone = replace(healthy, champion=None)
    assert alone.champion_importance is None
    with pytest.raises(KeyError, match="no champion"):
        _ = alone.champion_probabilities
    with pytest.raises(DataError, match="empty"):
        _ = replace(healthy, test=healthy.test.clear()).columns


def test_a_contender_knows_until_when_it_was_trained(healthy: Case) -> None:
    trained = replace(healthy.challenger, card={"trained": {"last": "2023-02-28"}})
    assert trained.trained_until == dt.date(2023, 2, 28)
