import polars as pl
import pytest

from crimeguard.validate.finding import Severity
from crimeguard.validate.rule import Rule, run_rules

FRAME = pl.DataFrame({"dr_no": list("abcdefghij"), "n": [*range(9), None]})


def rule(holds: pl.Expr, **options: object) -> Rule:
    defaults: dict[str, object] = {"check": "small", "fields": ("n",), "meaning": "Big.",
                                   "fix": "Shrink."}  # fmt: skip
    return Rule(holds=holds, **{**defaults, **options})  # type: ignore[arg-type]


def test_rows_that_break_a_rule_are_counted_and_blanks_are_not() -> None:
    (found,) = run_rules(FRAME, [rule(pl.col("n") < 6)])
    assert (found.count, found.share) == (3, 0.3)
    assert [item.dr_no for item in found.evidence] == ["g", "h", "i"]
    assert [item.row for item in found.evidence] == [7, 8, 9]


def test_every_broken_rule_is_reported_at_once() -> None:
    rules = [
        rule(pl.col("n") < 6),
        rule(pl.col("n") > 2, check="large"),
        rule(pl.col("n") >= 0, check="positive"),
        rule(pl.col("dr_no") != "a", check="across", fields=("n", "dr_no")),
    ]
    assert {found.check for found in run_rules(FRAME, rules)} == {"small", "large", "across"}


@pytest.mark.parametrize(("tolerated", "findings"), [(0.29, 1), (0.3, 0), (0.5, 0)])
def test_up_to_a_tolerated_share_a_rule_is_silent(tolerated: float, findings: int) -> None:
    assert len(run_rules(FRAME, [rule(pl.col("n") < 6, tolerated=tolerated)])) == findings


@pytest.mark.parametrize(("above", "severity"), [(0.29, "error"), (0.3, "warning")])
def test_above_a_share_a_warning_is_an_error(above: float, severity: str) -> None:
    one = rule(pl.col("n") < 6, severity=Severity.WARNING, error_above=above)
    assert run_rules(FRAME, [one])[0].severity == severity


def test_evidence_is_short_however_many_rows_break_a_rule() -> None:
    big = pl.DataFrame({"n": range(5000)})
    (found,) = run_rules(big, [rule(pl.col("n") < 0)])
    assert found.count == 5000
    assert len(found.evidence) == 5
    assert len(found.values) == 20
    assert found.evidence[0].dr_no is None


def test_a_rule_without_its_columns_or_rows_is_not_run() -> None:
    absent = rule(pl.col("m") < 0, fields=("m",))
    assert not absent.applies_to(FRAME)
    few = rule(pl.col("n") < 0, min_rows=11)
    assert not few.applies_to(FRAME)
    assert run_rules(FRAME, [absent, few]) == []


def test_a_bug_in_a_rule_is_no_finding() -> None:
    with pytest.raises(RuntimeError, match="a rule could not be run"):
        run_rules(FRAME, [rule(pl.col("misspelt") < 0)])
