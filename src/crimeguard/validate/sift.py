"""Telling the rows that may come into a snapshot from those that go into quarantine."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace

import polars as pl

from crimeguard.domain.errors import DataError
from crimeguard.ingest.coded import CODE_COLUMNS, city_of
from crimeguard.ingest.frame import Reading
from crimeguard.ingest.quarantine import FAULTS
from crimeguard.validate.finding import Finding, Severity
from crimeguard.validate.report import Report
from crimeguard.validate.rule import OnCheck, Rule, in_words
from crimeguard.validate.rules import row_rules
from crimeguard.validate.run import validate_reading

UNREADABLE = "readable_values"


@dataclass(frozen=True, slots=True)
class Sifted:
    """The rows to be kept, and the faults of the others.

    `frame` is canonical; `faults` has the schema of `ingest.quarantine.FAULTS`, a line for
    each fault of a row.
    """

    frame: pl.DataFrame
    faults: pl.DataFrame

    @property
    def rows(self) -> frozenset[int]:
        """The 0-based positions of the rows that are not kept."""
        return frozenset(self.faults["row"].unique().to_list())


def readable(reading: Reading) -> Sifted:
    """Keep the rows whose values were all understood."""
    return Sifted(reading.drop_bad(), _unreadable(reading))


def sift(
    reading: Reading, *, as_of: dt.date, labels: bool = True, on_check: OnCheck | None = None
) -> Sifted:
    """Keep the rows that can be read and break no rule that the contract calls an error.

    Warnings stay: they are a reason to look, not to leave out. Rows that share a number and
    contradict each other all go, for nothing tells which of them is right.
    """
    frame, unreadable = reading.drop_bad(), _unreadable(reading)
    at = pl.Series("row", sorted(set(range(reading.frame.height)) - reading.bad_rows), pl.Int64)
    faults = [unreadable]
    coded = [name for name in CODE_COLUMNS if name in frame.columns]
    for rule in row_rules(as_of, labels=labels, city=city_of(frame), coded=coded):
        if rule.applies_to(frame):
            if on_check:
                on_check(rule.check)
            faults += _broken(frame, rule, at)
    told = pl.concat(faults).sort("row", maintain_order=True)
    keep = ~at.is_in(told["row"].implode())
    return Sifted(frame.filter(keep), told)


def require_few(sifted: Sifted, rows: int, most: float, source: str) -> None:
    """Raise DataError if more than a share `most` of all rows would go into quarantine.

    Single bad rows are damage, many are another kind of file.
    """
    share = len(sifted.rows) / rows if rows else 0.0
    if share <= most:
        return
    counts = sifted.faults.group_by("check").agg(pl.col("row").n_unique()).sort(
        ["row", "check"], descending=[True, False]
    )  # fmt: skip
    raise DataError(
        f"{len(sifted.rows):,} of {rows:,} rows of {source} would go into quarantine.",
        why=f"That is {share:.1%}, and {most:.1%} are accepted: "
        + ", ".join(f"{check} {count:,}" for check, count in counts.iter_rows()) + ".",
        fix="Look at them with `crimeguard validate`; if they are what they should be, accept "
        "more with --most-bad.",
    )  # fmt: skip


def report_of(
    reading: Reading, sifted: Sifted, before: Report, *, source: str, as_of: dt.date,
    labels: bool = True,
) -> Report:  # fmt: skip
    """Validate what is kept; what went into quarantine is told as warnings.

    `before` is the report on all rows, whose findings know what is wrong with the others.
    """
    rest = replace(reading, bad_rows=reading.bad_rows | sifted.rows)
    after = validate_reading(rest, source=source, as_of=as_of, labels=labels, drop_bad=True)
    gone = set(sifted.faults["check"].unique())
    told = [_as_warning(item) for item in before.findings if item.check in gone]
    kept = [item for item in after.findings if item.check != UNREADABLE]
    return Report.of([*kept, *told], reading.frame.height, source=source,
                     ran=after.passed, skipped=after.skipped)  # fmt: skip


def _as_warning(finding: Finding) -> Finding:
    if finding.check == UNREADABLE:
        return replace(finding, severity=Severity.WARNING,
                       meaning="Rows hold a value that cannot be understood; they are in "
                       "quarantine.")  # fmt: skip
    return replace(finding, severity=Severity.WARNING,
                   meaning=f"{finding.meaning} They are in quarantine.")  # fmt: skip


def _unreadable(reading: Reading) -> pl.DataFrame:
    told = _lines(
        (fault.row - 1, UNREADABLE, f"{fault.column}: {fault.value!r} {fault.reason}")
        for fault in reading.faults
    )
    # A row is bad also where nothing says why.
    rest = reading.bad_rows.difference(told["row"])
    return pl.concat(
        [told, _lines((row, UNREADABLE, "It cannot be read.") for row in sorted(rest))]
    )


def _broken(frame: pl.DataFrame, rule: Rule, at: pl.Series) -> list[pl.DataFrame]:
    failed = rule.broken(frame.lazy()).collect().to_series()
    count = int(failed.sum())
    if not count or rule.severity_at(count / frame.height, frame.height) is not Severity.ERROR:
        return []
    said = in_words(frame.filter(failed), rule)
    return [_lines(
        (row, rule.check, f"{', '.join(rule.fields)} is {value}: {rule.meaning}")
        for row, value in zip(at.filter(failed), said, strict=True)
    )]  # fmt: skip


def _lines(lines: Iterable[tuple[int, str, str]]) -> pl.DataFrame:
    return pl.DataFrame(list(lines), schema=FAULTS, orient="row")
