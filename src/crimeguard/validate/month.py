"""One month of a snapshot, measured: what the report on quality is made of."""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Final

import polars as pl

from crimeguard.domain.city import CITIES, LOS_ANGELES, City
from crimeguard.domain.codes import crime_codes, mo_names
from crimeguard.validate.rule import Rule

# First day of each span until the report: the same day, within a week, a month, a year.
SPANS: Final = {"same day": 0, "1 to 7 days": 1, "8 to 30 days": 8, "31 to 365 days": 31,
                "over a year": 366}  # fmt: skip
CODED: Final = ("area", "crm_cd", "premis_cd", "weapon_used_cd", "mocodes")
_QUANTILES: Final = (0.5, 0.9, 0.99)


@dataclass(frozen=True, slots=True)
class Delay:
    """Days from occurrence to report: mean, quantiles, and rows by span (as SPANS)."""

    rows: int
    mean: float
    p50: int
    p90: int
    p99: int
    longest: int
    spans: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Month:
    """What one partition holds, in numbers of rows unless it is said otherwise.

    `present` counts rows that hold a field; `broken` rows that break a rule of the
    contract; `codes` rows by field and code; `areas` rows by area; `alike` rows that
    repeat an earlier one in all but the number; `days` are those of the calendar month.
    `city` is the key of the city whose tables hold the codes.
    """

    month: str
    rows: int
    days: int
    present: dict[str, int]
    broken: dict[str, int]
    codes: dict[str, dict[int, int]]
    areas: dict[int, int]
    alike: int
    delay: Delay | None
    city: str = LOS_ANGELES

    def share(self, field: str) -> float:
        """Return the share of rows, 0 to 1, that hold a field."""
        return self.present[field] / self.rows

    def unknown(self, field: str) -> dict[int, int]:
        """Return the codes of a field that are in no table, with their rows."""
        known = table_of(field, CITIES[self.city])
        return {code: rows for code, rows in self.codes.get(field, {}).items() if code not in known}

    def to_dict(self) -> dict[str, Any]:
        """Return the month as JSON types, codes by what is in no table only."""
        told = asdict(self)
        told["completeness"] = {name: self.share(name) for name in told.pop("present")}
        told["codes_seen"] = {name: len(codes) for name, codes in told.pop("codes").items()}
        told["codes_in_no_table"] = {
            name: {str(code): rows for code, rows in self.unknown(name).items()}
            for name in self.codes if self.unknown(name)
        }  # fmt: skip
        told["areas"] = {str(area): rows for area, rows in self.areas.items()}
        if self.delay is not None:
            told["delay"]["spans"] = dict(zip(SPANS, self.delay.spans, strict=True))
        return told


def table_of(field: str, city: City) -> frozenset[int]:
    """Return the codes that are in the table of a field: the police's, or the city's own."""
    tables = {"mocodes": mo_names, "crm_cd": crime_codes}
    return frozenset(tables[field]()) if field in tables else city.codes(field)


def measure(
    month: str, scan: pl.LazyFrame, rules: Sequence[Rule], city: City = CITIES[LOS_ANGELES]
) -> Month:
    """Measure the rows of one month; no more of them than this month is in memory.

    Parameters
    ----------
    month : str
        As YYYY-MM.
    scan : polars.LazyFrame
        Its canonical incidents.
    rules : sequence of Rule
        The contract's, of which those are counted whose columns are there.
    city : City
        Whose incidents they are.
    """
    columns = scan.collect_schema().names()
    due = [rule for rule in rules if set(rule.fields) <= set(columns)]
    plain = [rule for rule in due if isinstance(rule.holds, pl.Expr)]
    counted = scan.select(
        pl.len().alias("rows"),
        *(_present(name).sum().alias(f"present {name}") for name in columns),
        *(_broken(rule).sum().alias(f"broken {rule.check}") for rule in plain),
    ).collect()
    (numbers,) = counted.to_dicts()
    broken = {
        rule.check: numbers[f"broken {rule.check}"] if rule in plain
        else int(rule.broken(scan).collect().to_series().sum())
        for rule in due
    }  # fmt: skip
    year, number = map(int, month.split("-"))
    return Month(
        month=month, rows=numbers["rows"], days=calendar.monthrange(year, number)[1],
        present={name: numbers[f"present {name}"] for name in columns}, broken=broken,
        codes={name: _codes(scan, name) for name in CODED if name in columns},
        areas=_codes(scan, "area") if "area" in columns else {},
        alike=_alike(scan, columns), delay=_delay(scan, columns), city=city.key,
    )  # fmt: skip


def _present(name: str) -> pl.Expr:
    if name == "mocodes":
        return (pl.col(name).list.len() > 0).fill_null(value=False)
    return pl.col(name).is_not_null()


def _broken(rule: Rule) -> pl.Expr:
    assert isinstance(rule.holds, pl.Expr)  # noqa: S101 -- only such are asked for
    return (~rule.holds).fill_null(value=False)


def _codes(scan: pl.LazyFrame, name: str) -> dict[int, int]:
    """Count rows by code; a row with several codes counts once for each."""
    column = pl.col(name).explode() if name == "mocodes" else pl.col(name)
    found = scan.select(column.alias("code")).drop_nulls().group_by("code").len()
    return {int(code): int(rows) for code, rows in found.sort("code").collect().iter_rows()}


def _alike(scan: pl.LazyFrame, columns: Sequence[str]) -> int:
    """Count rows that say what an earlier one says, under another number."""
    others = [name for name in columns if name != "dr_no"]
    distinct = scan.select(others).group_by(others).len()
    return int(distinct.select((pl.col("len") - 1).sum()).collect().item() or 0)


def _delay(scan: pl.LazyFrame, columns: Sequence[str]) -> Delay | None:
    if "date_rptd" not in columns:
        return None
    days = (pl.col("date_rptd") - pl.col("date_occ")).dt.total_days().alias("days")
    late = scan.select(days).filter(pl.col("days") >= 0).collect().to_series()
    if late.is_empty():
        return None
    starts = [*SPANS.values(), None]
    spans = tuple(
        int(((late >= low) & (late < high if high is not None else True)).sum())
        for low, high in pairwise(starts)
    )
    p50, p90, p99 = (int(late.quantile(q, "higher") or 0) for q in _QUANTILES)
    return Delay(late.len(), _float(late.mean()), p50, p90, p99, _int(late.max()), spans)


def _float(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _int(value: Any) -> int:
    return int(value) if isinstance(value, int) else 0


def months_between(first: str, last: str) -> list[str]:
    """Return every month of a span as YYYY-MM, both ends included."""
    span = pl.date_range(
        dt.date.fromisoformat(f"{first}-01"), dt.date.fromisoformat(f"{last}-01"), "1mo",
        eager=True,
    )  # fmt: skip
    return span.dt.strftime("%Y-%m").to_list()
