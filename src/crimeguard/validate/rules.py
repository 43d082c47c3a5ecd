"""The rules on rows, each with what a break of it means and what to do about it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import polars as pl

from crimeguard.domain.codes import known_codes, mo_names
from crimeguard.domain.field import BY_NAME
from crimeguard.domain.repair import EARLIEST
from crimeguard.validate import limits
from crimeguard.validate.finding import Severity
from crimeguard.validate.rule import Rule


def row_rules(as_of: dt.date, *, labels: bool) -> tuple[Rule, ...]:
    """Return every rule on rows, in the order of the report."""
    return (
        *_identity_rules(),
        *_date_rules(as_of),
        *_code_rules(labels=labels),
        *_range_rules(),
        *_habit_rules(),
        *_completeness_rules(),
    )


def _identity_rules() -> Iterable[Rule]:
    yield Rule(
        check="dr_no_present", fields=("dr_no",), holds=pl.col("dr_no").is_not_null(),
        meaning="Rows without a number cannot be told apart or joined with their labels.",
        fix="Export them again with DR_NO.",
    )  # fmt: skip
    yield Rule(
        check="dr_no_unique", fields=("dr_no",), holds=_not_contradicted,
        meaning="Rows share a number and contradict each other.",
        fix="Keep the right one of each; CrimeGuard does not choose.",
    )  # fmt: skip
    yield Rule(
        check="no_duplicates", fields=("dr_no",), holds=_not_repeated,
        severity=Severity.WARNING,
        meaning="Rows repeat an earlier one in every field.",
        fix="Nothing: a snapshot keeps one of each and counts the others.",
    )  # fmt: skip


def _suspects(frame: pl.LazyFrame) -> pl.DataFrame:
    """Return the rows whose number occurs more than once."""
    again = pl.col("dr_no").is_not_null() & pl.col("dr_no").is_duplicated()
    return frame.with_row_index("row").filter(again).collect()


def _not_contradicted(frame: pl.LazyFrame) -> pl.LazyFrame:
    distinct = _suspects(frame).drop("row").unique()
    torn = distinct.filter(pl.col("dr_no").is_duplicated())["dr_no"].unique()
    return frame.select(~pl.col("dr_no").is_in(torn.implode()))


def _not_repeated(frame: pl.LazyFrame) -> pl.LazyFrame:
    suspects = _suspects(frame)
    first = suspects.unique(subset=suspects.columns[1:], keep="first")["row"]
    repeated = suspects["row"].filter(~suspects["row"].is_in(first.implode()))
    return frame.select(~pl.int_range(pl.len(), dtype=pl.UInt32).is_in(repeated.implode()))


def _date_rules(as_of: dt.date) -> Iterable[Rule]:
    for name in ("date_occ", "date_rptd"):
        yield Rule(
            check=f"{name}_in_range", fields=(name,),
            holds=pl.col(name).is_between(EARLIEST, as_of),
            meaning=f"{BY_NAME[name].column} is before {EARLIEST} or after {as_of}.",
            fix="Correct the date, or the clock of this machine.",
        )  # fmt: skip
    yield Rule(
        check="date_occ_present", fields=("date_occ",), holds=pl.col("date_occ").is_not_null(),
        meaning="Rows do not say when it happened.", fix="Export them again with DATE OCC.",
    )  # fmt: skip
    yield Rule(
        check="reported_after_occurrence", fields=("date_occ", "date_rptd"),
        holds=pl.col("date_rptd") >= pl.col("date_occ"),
        meaning="Incidents were reported before they happened.",
        fix="Correct one of the two dates.",
    )  # fmt: skip


def _code_rules(*, labels: bool) -> Iterable[Rule]:
    yield _known("area", Severity.ERROR, "There are 21 areas.")
    yield _known(
        "crm_cd", Severity.ERROR,
        "No category is known for them, and none is guessed.",
        "Correct them, or add them to crime_codes.csv with a category.",
    )  # fmt: skip
    if labels:
        yield Rule(
            check="crm_cd_present", fields=("crm_cd",), holds=pl.col("crm_cd").is_not_null(),
            meaning="Rows without a crime code have no label to learn from or compare with.",
            fix="Leave them out, or export them again with Crm Cd.",
        )  # fmt: skip
    yield _known("premis_cd", Severity.WARNING, "They will be taken for unknown premises.")
    yield _known("weapon_used_cd", Severity.WARNING, "They will be taken for unknown weapons.")
    strange = pl.col("mocodes").list.set_difference(pl.lit(sorted(mo_names()), pl.List(pl.Int16)))
    yield Rule(
        check="mocodes_known", fields=("mocodes",), severity=Severity.WARNING,
        holds=_without_strange_mocodes, shown=strange.list.sort(),
        meaning="Mocodes holds codes that are on no published list.",
        fix="Nothing, if the police use new ones; else correct them.",
    )  # fmt: skip


def _without_strange_mocodes(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Look for the few codes that are strange; comparing with all known ones takes long."""
    present = frame.select(pl.col("mocodes").explode().unique().drop_nulls()).collect().to_series()
    strange = sorted(set(present) - set(mo_names()))
    found = pl.element().is_in(strange).any(ignore_nulls=True)
    return frame.select(~pl.col("mocodes").list.agg(found))


def _known(name: str, severity: Severity, meaning: str, fix: str = "") -> Rule:
    return Rule(
        check=f"{name}_known", fields=(name,), severity=severity,
        holds=pl.col(name).is_in(sorted(known_codes(name))),
        meaning=f"{BY_NAME[name].column} holds codes that are in no table. {meaning}",
        fix=fix or "Correct them; a new code belongs into the tables of crimeguard/domain/data.",
    )  # fmt: skip


def _range_rules() -> Iterable[Rule]:
    time = pl.col("time_occ")
    yield Rule(
        check="time_occ_in_range", fields=("time_occ",),
        holds=time.is_between(0, 2359) & (time % 100 < 60),
        meaning="TIME OCC is no time of day (HHMM).", fix="Correct it or leave it blank.",
    )  # fmt: skip
    yield Rule(
        check="vict_age_in_range", fields=("vict_age",),
        holds=pl.col("vict_age").is_between(1, limits.OLDEST_AGE),
        meaning=f"Vict Age is outside 1 to {limits.OLDEST_AGE} years.",
        fix="Correct it or leave it blank.",
    )  # fmt: skip
    yield Rule(
        check="place_in_city", fields=("lat", "lon"), severity=Severity.WARNING,
        holds=pl.col("lat").is_between(*limits.CITY_LATITUDES)
        & pl.col("lon").is_between(*limits.CITY_LONGITUDES),
        meaning="LAT and LON lie outside the city.",
        fix="Correct them or leave both blank.",
    )  # fmt: skip
    yield Rule(
        check="district_in_area", fields=("area", "rpt_dist_no"), severity=Severity.WARNING,
        error_above=limits.DISTRICT_ERROR_ABOVE,
        holds=pl.col("rpt_dist_no") // 100 == pl.col("area"),
        meaning="Rpt Dist No does not begin with the number of its AREA.",
        fix="Correct one of the two; above 0.1 % of rows it is an error.",
    )  # fmt: skip


def _habit_rules() -> Iterable[Rule]:
    yield Rule(
        check="placeholder_times", fields=("time_occ",), severity=Severity.WARNING,
        tolerated=limits.PLACEHOLDER_SHARE, min_rows=limits.MIN_ROWS,
        holds=~pl.col("time_occ").is_in(limits.PLACEHOLDER_TIMES),
        meaning="Unusually many times are 12:00 or 00:01, which stand for unknown.",
        fix="Trust the hour of this file less.",
    )  # fmt: skip
    yield Rule(
        check="placeholder_days", fields=("date_occ",), severity=Severity.WARNING,
        tolerated=limits.PLACEHOLDER_SHARE, min_rows=limits.MIN_ROWS,
        holds=pl.col("date_occ").dt.day() != 1,
        meaning="Unusually many days are the 1st of a month, which stands for unknown.",
        fix="Trust the weekday of this file less.",
    )  # fmt: skip
    delay = (pl.col("date_rptd") - pl.col("date_occ")).dt.total_days()
    yield Rule(
        check="late_reports", fields=("date_occ", "date_rptd"), severity=Severity.WARNING,
        tolerated=limits.LATE_SHARE, min_rows=limits.MIN_ROWS,
        holds=delay <= limits.LATE_DAYS,
        meaning=f"Unusually many incidents were reported over {limits.LATE_DAYS} days late.",
        fix="Check how the rows were chosen: what is reported late is of other categories.",
    )  # fmt: skip


def _completeness_rules() -> Iterable[Rule]:
    for name, share in limits.COMPLETENESS.items():
        present = pl.col(name).list.len() > 0 if name == "mocodes" else pl.col(name).is_not_null()
        yield Rule(
            check=f"{name}_complete", fields=(name,), severity=Severity.WARNING,
            tolerated=1 - share.least, min_rows=limits.MIN_ROWS,
            holds=present.fill_null(value=False),
            meaning=f"{BY_NAME[name].column} is blank more often than it should be: "
            f"{share.usual:.1%} of rows usually hold it, {share.least:.0%} are the least.",
            fix="Ask whether the export or the police's form has changed.",
        )  # fmt: skip
