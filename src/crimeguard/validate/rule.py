"""A rule of the contract, and how pandera is made to run a table of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from crimeguard.validate.finding import Evidence, Finding, Severity

_EVIDENCE: Final = 5  # rows shown a finding
_VALUES: Final = 20  # offending values listed a finding

Holds = pl.Expr | Callable[[pl.LazyFrame], pl.LazyFrame]
OnCheck = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One condition that every row should meet.

    Parameters
    ----------
    check : str
        Its name in reports.
    fields : tuple of str
        Columns it needs; without one of them it is skipped.
    holds : polars.Expr or callable
        True where a row meets the condition, null where it does not apply. A callable
        makes a frame of that one column from the whole one.
    severity : Severity
        What a row that does not meet it amounts to.
    tolerated : float
        Share of rows, 0 to 1, up to which the rule stays silent.
    error_above : float
        Share of rows above which a warning becomes an error.
    min_rows : int
        With fewer rows the rule is skipped, as shares say nothing then.
    shown : polars.Expr, optional
        The offending value; by default that of `fields`. A list counts item by item.
    """

    check: str
    fields: tuple[str, ...]
    holds: Holds
    meaning: str
    fix: str
    severity: Severity = Severity.ERROR
    tolerated: float = 0.0
    error_above: float = 1.0
    min_rows: int = 0
    shown: pl.Expr | None = None

    def applies_to(self, frame: pl.DataFrame) -> bool:
        """Tell whether the frame has the columns and rows that the rule needs."""
        return set(self.fields) <= set(frame.columns) and frame.height >= self.min_rows

    def severity_at(self, share: float, rows: int) -> Severity | None:
        """Return what a share of 0 to 1 of so many rows amounts to, None if to nothing."""
        if rows < self.min_rows or share <= self.tolerated:
            return None
        return Severity.ERROR if share > self.error_above else self.severity

    def broken(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """Return one column, true where a row does not meet the condition."""
        held = self.holds(frame) if callable(self.holds) else frame.select(self.holds)
        return held.select((~pl.first()).fill_null(value=False).alias(self.check))


def run_rules(
    frame: pl.DataFrame,
    rules: Sequence[Rule],
    *,
    rows: pl.Series | None = None,
    on_check: OnCheck | None = None,
) -> list[Finding]:
    """Check a frame with one pandera schema; return a finding for each rule that is broken.

    pandera decides row by row and reports every broken rule at once. It knows no
    tolerated shares and no severities beside its own warnings, so these are ours.
    """
    from pandera.errors import SchemaErrorReason, SchemaErrors

    due = {rule.check: rule for rule in rules if rule.applies_to(frame)}
    try:
        _schema(list(due.values()), on_check).validate(frame, lazy=True)
    except SchemaErrors as broken:
        findings = []
        for error in broken.schema_errors:
            if error.reason_code is SchemaErrorReason.CHECK_ERROR:  # a bug in a rule
                raise RuntimeError(f"a rule could not be run: {error}") from error
            rule = due[error.check.name]
            failed = ~error.check_output.to_series()
            if failed.sum() > rule.tolerated * frame.height:
                findings.append(_finding(frame, rule, failed, rows))
        return findings
    return []


def _schema(rules: Sequence[Rule], on_check: OnCheck | None) -> Any:
    """Put rules on one field onto its column, the others onto the frame."""
    import pandera.polars as pa

    by_column: dict[str, list[Any]] = {}
    across: list[Any] = []
    for rule in rules:
        check = pa.Check(
            _runner(rule, on_check), name=rule.check, error=rule.meaning,
            n_failure_cases=_EVIDENCE,
        )  # fmt: skip
        if len(rule.fields) == 1:
            by_column.setdefault(rule.fields[0], []).append(check)
        else:
            across.append(check)
    columns = {name: pa.Column(checks=checks, nullable=True) for name, checks in by_column.items()}
    return pa.DataFrameSchema(columns, checks=across)


def _runner(rule: Rule, on_check: OnCheck | None) -> Callable[[Any], pl.LazyFrame]:
    def run(data: Any) -> pl.LazyFrame:
        if on_check:
            on_check(rule.check)
        frame: pl.LazyFrame = data.lazyframe
        return rule.holds(frame) if callable(rule.holds) else frame.select(rule.holds)

    return run


def _finding(frame: pl.DataFrame, rule: Rule, failed: pl.Series, rows: pl.Series | None) -> Finding:
    count = int(failed.sum())
    share = count / frame.height
    numbers = pl.int_range(1, frame.height + 1, eager=True) if rows is None else rows
    offending = frame.with_columns(numbers.alias("row")).filter(failed)
    return Finding(
        check=rule.check,
        severity=rule.severity_at(share, frame.height) or rule.severity,
        count=count,
        share=share,
        meaning=rule.meaning,
        fix=rule.fix,
        evidence=_evidence(offending.head(_EVIDENCE), rule),
        values=_values(offending, rule),
    )


def _evidence(offending: pl.DataFrame, rule: Rule) -> tuple[Evidence, ...]:
    numbered = "dr_no" in offending.columns
    return tuple(
        Evidence(row, dr_no, value)
        for row, dr_no, value in zip(
            offending["row"],
            offending["dr_no"] if numbered else [None] * offending.height,
            in_words(offending, rule),
            strict=True,
        )
    )


def in_words(frame: pl.DataFrame, rule: Rule) -> list[str]:
    """Return what each row says in the fields of a rule, as text."""
    shown = frame.select(rule.fields if rule.shown is None else rule.shown)
    return [_text(values) for values in shown.iter_rows(named=True)]


def _text(values: dict[str, Any]) -> str:
    if len(values) == 1:
        return _word(next(iter(values.values())))
    return ", ".join(f"{name} {_word(value)}" for name, value in values.items())


def _word(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "blank" if value is None else str(value)


def _values(offending: pl.DataFrame, rule: Rule) -> tuple[tuple[str, int], ...]:
    """Count the offending values of one field; values of several are in the evidence."""
    shown = offending.select(rule.fields if rule.shown is None else rule.shown)
    if shown.width > 1:
        return ()
    series = shown.to_series().alias("value").drop_nulls()
    if series.dtype == pl.List:
        series = series.explode().drop_nulls()
    counts = series.value_counts().sort(["count", "value"], descending=[True, False])
    return tuple((str(value), n) for value, n in counts.head(_VALUES).iter_rows())
