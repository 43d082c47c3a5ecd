"""The data contract: what a canonical frame of incidents must be like.

Rows are checked by pandera schemas built from the rules of `rules`. Two things go around
pandera: which columns there are (a missing column is one finding, not a reason to stop)
and, as it has none, severities and tolerated shares (see `rule`). Volumes are checked by
a pandera schema of their own, on a table with one row a month.
"""

from __future__ import annotations

import datetime as dt
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import polars as pl

from crimeguard.domain.field import BY_NAME
from crimeguard.ingest.coded import CODE_COLUMNS, city_of, has_codes
from crimeguard.ingest.frame import SCHEMA, Reading
from crimeguard.validate import limits
from crimeguard.validate.finding import Evidence, Finding, Severity
from crimeguard.validate.report import Report
from crimeguard.validate.rule import OnCheck, Rule, run_rules
from crimeguard.validate.rules import row_rules

REQUIRED: Final = ("dr_no", "date_occ", "date_rptd", "area")
EXPECTED: Final = (
    "time_occ", "rpt_dist_no", "mocodes", "vict_age", "vict_sex", "vict_descent",
    "premis_cd", "weapon_used_cd", "lat", "lon",
)  # fmt: skip


def check_contract(
    frame: pl.DataFrame,
    *,
    as_of: dt.date,
    labels: bool = True,
    rows: pl.Series | None = None,
    on_check: OnCheck | None = None,
) -> Report:
    """Check a canonical frame.

    Parameters
    ----------
    frame : polars.DataFrame
        Canonical names and types (`ingest.frame.SCHEMA`).
    as_of : datetime.date
        Today; nothing may have happened later.
    labels : bool
        Whether every row must have a crime code, as training and evaluation need it.
    rows : polars.Series, optional
        Numbers of the rows in their source, from 1, for the evidence; by default 1, 2, ...
    on_check : callable, optional
        Called with the name of each check as it begins.
    """
    structure = [*_columns(frame, labels), *_types(frame)]
    coded = [name for name in CODE_COLUMNS if name in frame.columns]
    rules = row_rules(as_of, labels=labels, city=city_of(frame), coded=coded)
    if any(finding.check == "column_types" for finding in structure):
        return Report.of(structure, frame.height, ran=("column_types", "required_columns"))
    findings = (
        structure + run_rules(frame, rules, rows=rows, on_check=on_check) + check_volume(frame)
    )
    ran = [rule.check for rule in rules if rule.applies_to(frame)]
    skipped = [rule.check for rule in rules if not rule.applies_to(frame)]
    months_ran = _months(frame).height >= limits.MIN_MONTHS
    (ran if months_ran else skipped).append("volume_per_month")
    return Report.of(
        findings, frame.height,
        ran=("required_columns", "expected_columns", "column_types", *ran), skipped=skipped,
    )  # fmt: skip


def check_reading(reading: Reading, *, dropped: bool) -> list[Finding]:
    """Report what could not be read at all; an error unless these rows are left out."""
    findings = []
    left = reading.frame.height - len(reading.bad_rows)
    if reading.bad_rows:
        findings.append(
            Finding(
                check="readable_values",
                severity=Severity.WARNING if dropped and left else Severity.ERROR,
                count=len(reading.bad_rows),
                share=len(reading.bad_rows) / reading.frame.height,
                meaning="Rows hold a value that cannot be understood"
                + ("; they are left out." if dropped else "."),
                fix="Correct them, or leave these rows out with --on-bad drop.",
                evidence=tuple(
                    Evidence(bad.row, None, f"{bad.column}: {bad.value!r} {bad.reason}")
                    for bad in reading.bad[:5]
                ),
            )
        )
    if reading.ignored:
        findings.append(
            _on_columns("known_columns", Severity.WARNING, reading.ignored, len(BY_NAME),
                        "Columns that no incident has; they are ignored.",
                        "Nothing, if they were meant to be there; else check their spelling.")
        )  # fmt: skip
    return findings


def check_volume(frame: pl.DataFrame) -> list[Finding]:
    """Compare each month's rows a day with the median of the other months."""
    months = _months(frame)
    if months.height < limits.MIN_MONTHS:
        return []
    rule = Rule(
        check="volume_per_month", fields=("date_occ", "ratio"), severity=Severity.WARNING,
        holds=pl.col("ratio").is_between(limits.VOLUME_LOW, limits.VOLUME_HIGH),
        shown=pl.format("{}: {} rows, {} of the usual", pl.col("date_occ").dt.strftime("%Y-%m"),
                        pl.col("rows"), pl.col("ratio").round(2)),
        meaning="Months have far fewer or far more rows a day than the others.",
        fix="Check whether the export is complete; do not learn class shares from such months.",
    )  # fmt: skip
    return [
        replace(
            found, values=(), evidence=tuple(replace(item, row=None) for item in found.evidence)
        )
        for found in run_rules(months, [rule])
    ]


def _months(frame: pl.DataFrame) -> pl.DataFrame:
    """Make one row a month of the span, empty ones too: date_occ, rows, days, ratio."""
    days = frame["date_occ"].drop_nulls() if "date_occ" in frame.columns else pl.Series()
    if days.is_empty():
        return pl.DataFrame(schema={"date_occ": pl.Date, "ratio": pl.Float64})
    span = pl.date_range(pl.lit(days.min()), pl.lit(days.max()), "1d")
    table = (
        pl.select(day=span)
        .group_by(date_occ=pl.col("day").dt.month_start())
        .agg(days=pl.len())
        .join(days.dt.month_start().value_counts(name="rows"), on="date_occ", how="left")
        .with_columns(pl.col("rows").fill_null(0))
        .sort("date_occ")
    )
    daily = (table["rows"] / table["days"]).to_list()
    ratios = [_ratio(daily, month) for month in range(len(daily))]
    return table.with_columns(ratio=pl.Series(ratios, dtype=pl.Float64))


def _ratio(daily: Sequence[float], month: int) -> float:
    """Compare a month with the median of the others; empty ones must not drag it down."""
    others = [rows for other, rows in enumerate(daily) if rows and other != month]
    return daily[month] / statistics.median(others) if others else 1.0


def _columns(frame: pl.DataFrame, labels: bool) -> list[Finding]:
    city = city_of(frame)
    required = [name for name in REQUIRED if city.reported or name != "date_rptd"]
    if labels and not has_codes(frame):
        required.append("crm_cd")
    findings = []
    for check, severity, names, meaning in (
        ("required_columns", Severity.ERROR, required, "Columns that every use needs are missing."),
        ("expected_columns", Severity.WARNING, EXPECTED,
         "Columns are missing; the model will know less, at a lower information level."),
    ):  # fmt: skip
        missing = [BY_NAME[name].column for name in names if name not in frame.columns]
        if missing:
            fix = "Export them again in the portal's 28-column form."
            findings.append(_on_columns(check, severity, missing, len(names), meaning, fix))
    return findings


def _types(frame: pl.DataFrame) -> list[Finding]:
    wrong = [
        f"{name} is {dtype}, not {SCHEMA[name]}"
        for name, dtype in frame.schema.items()
        if name in SCHEMA and dtype != SCHEMA[name]
    ]
    if not wrong:
        return []
    return [_on_columns("column_types", Severity.ERROR, wrong, frame.width,
                        "Columns are not of the canonical type; nothing else was checked.",
                        "Read the data with crimeguard.ingest.source.read_file.")]  # fmt: skip


def _on_columns(
    check: str, severity: Severity, names: Sequence[str], of: int, meaning: str, fix: str
) -> Finding:
    return Finding(
        check=check, severity=severity, count=len(names), share=min(1.0, len(names) / max(of, 1)),
        meaning=meaning, fix=fix, evidence=tuple(Evidence(None, None, name) for name in names),
    )  # fmt: skip
