"""The rules on rows, each with what a break of it means and what to do about it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

import polars as pl

from crimeguard.domain.city import CITIES, LOS_ANGELES, City, Range
from crimeguard.domain.codes import crime_codes, mo_names
from crimeguard.domain.field import BY_NAME
from crimeguard.domain.offense import offenses
from crimeguard.domain.repair import EARLIEST
from crimeguard.validate import limits
from crimeguard.validate.finding import Severity
from crimeguard.validate.rule import Rule


def row_rules(
    as_of: dt.date,
    *,
    labels: bool,
    city: City = CITIES[LOS_ANGELES],
    coded: Sequence[str] = ("crm_cd",),
) -> tuple[Rule, ...]:
    """Return every rule on rows, in the order of the report.

    `city` is whose rows they are, `coded` the columns there are of those that name what was
    reported: crm_cd, offense.
    """
    return (
        *_identity_rules(),
        *_date_rules(as_of),
        *_code_rules(city, coded, labels=labels),
        *_range_rules(city),
        *_habit_rules(city),
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


def _code_rules(city: City, coded: Sequence[str], *, labels: bool) -> Iterable[Rule]:
    areas = city.codes("area")
    yield _known("area", areas, Severity.ERROR, f"{city.name} has {len(areas)} areas.")
    tables: dict[str, tuple[str, Iterable[int] | Iterable[str]]] = {
        "crm_cd": ("crime_codes.csv", crime_codes()),
        "offense": ("the table of its coding", offenses()),
    }
    for name in coded:
        table, known = tables[name]
        yield _known(
            name, known, Severity.ERROR, "No category is known for them, and none is guessed.",
            f"Correct them, or add them to {table} with a category.",
        )  # fmt: skip
    if labels and coded:
        yield Rule(
            check=f"{coded[-1]}_present", fields=tuple(coded),
            holds=pl.any_horizontal(pl.col(name).is_not_null() for name in coded),
            meaning="Rows without a crime code have no label to learn from or compare with.",
            fix=f"Leave them out, or export them again with {BY_NAME[coded[-1]].column}.",
        )  # fmt: skip
    yield _known("premis_cd", city.codes("premis_cd"), Severity.WARNING,
                 "They will be taken for unknown premises.")  # fmt: skip
    yield _known("weapon_used_cd", city.codes("weapon_used_cd"), Severity.WARNING,
                 "They will be taken for unknown weapons.")  # fmt: skip
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


def _known(
    name: str, codes: Iterable[int] | Iterable[str], severity: Severity, meaning: str, fix: str = ""
) -> Rule:
    return Rule(
        check=f"{name}_known", fields=(name,), severity=severity,
        holds=pl.col(name).is_in(sorted(codes)),
        meaning=f"{BY_NAME[name].column} holds codes that are in no table. {meaning}",
        fix=fix or "Correct them; a new code belongs into the tables of crimeguard/domain/data.",
    )  # fmt: skip


def _range_rules(city: City) -> Iterable[Rule]:
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
        holds=_within(city.latitudes, city.longitudes),
        meaning=f"LAT and LON lie outside {city.name}.",
        fix="Correct them or leave both blank.",
    )  # fmt: skip
    yield Rule(
        check="place_in_region", fields=("lat", "lon"), holds=_within(*city.region),
        meaning=f"LAT and LON lie nowhere near {city.name}.",
        fix="Correct them or leave both blank.",
    )  # fmt: skip
    if not city.nested:
        return
    yield Rule(
        check="district_in_area", fields=("area", "rpt_dist_no"), severity=Severity.WARNING,
        error_above=limits.DISTRICT_ERROR_ABOVE,
        holds=pl.col("rpt_dist_no") // 100 == pl.col("area"),
        meaning="Rpt Dist No does not begin with the number of its AREA.",
        fix="Correct one of the two; above 0.1 % of rows it is an error.",
    )  # fmt: skip


def _within(latitudes: Range, longitudes: Range) -> pl.Expr:
    return pl.col("lat").is_between(*latitudes) & pl.col("lon").is_between(*longitudes)


def _habit_rules(city: City) -> Iterable[Rule]:
    yield Rule(
        check="placeholder_times", fields=("time_occ",), severity=Severity.WARNING,
        tolerated=limits.PLACEHOLDER_SHARE, min_rows=limits.MIN_ROWS,
        holds=~pl.col("time_occ").is_in(city.placeholder_times),
        meaning=f"Unusually many times are {_clocks(city)}, which stand for unknown.",
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


def _clocks(city: City) -> str:
    times = [f"{time // 100:02d}:{time % 100:02d}" for time in reversed(city.placeholder_times)]
    return f"{', '.join(times[:-1])} or {times[-1]}"


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
