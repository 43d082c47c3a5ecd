"""The data contract over time: how the data of a snapshot were, month by month.

`validate` says whether a file may come in. This says how what came in has been: complete,
in range, in known codes, without repeats, reported in time, from every area. The rules and
limits are the contract's own, evaluated lazily one partition after the other.
"""

from __future__ import annotations

import datetime as dt
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from crimeguard.domain.city import CITIES, LOS_ANGELES, City
from crimeguard.ingest.coded import CODE_COLUMNS, city_of
from crimeguard.ingest.quarantine import Quarantine, together
from crimeguard.ingest.snapshot import Snapshot
from crimeguard.validate import limits
from crimeguard.validate.finding import Severity
from crimeguard.validate.month import CODED, Month, measure, months_between, table_of
from crimeguard.validate.rule import Rule
from crimeguard.validate.rules import row_rules

# A month is young while so many days have not gone by since its end: what is reported late
# is still missing, and its delays are those of the quick ones.
RIPE_DAYS: Final = 31
VOLUME: Final = "volume_per_month"
OnMonth = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Trouble:
    """A check that fired in some months; `share` is that of the worst, 0 to 1.

    That of `volume_per_month` is its rows a day against the usual.
    """

    check: str
    severity: Severity
    months: tuple[str, ...]
    rows: int
    worst: str
    share: float
    meaning: str
    fix: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {"check": self.check, "severity": self.severity.value, "months": list(self.months),
                "rows": self.rows, "worst_month": self.worst, "worst_share": self.share,
                "meaning": self.meaning, "fix": self.fix}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Code:
    """How a coded field is covered by its table: codes in it, of these seen, rows in none."""

    field: str
    table: int
    seen: int
    unknown: dict[int, int]


@dataclass(frozen=True, slots=True)
class Quality:
    """A snapshot over time: one Month a partition, and what is wrong with some of them.

    `span` names every month from the first to the last, those without rows too.
    """

    snapshot: str
    source: str
    rows: int
    rows_in: int
    duplicates: int
    quarantine: tuple[Quarantine, ...]
    months: tuple[Month, ...]
    span: tuple[str, ...]
    columns: tuple[str, ...]
    troubles: tuple[Trouble, ...]
    codes: tuple[Code, ...]
    last_reported: dt.date | None

    @property
    def errors(self) -> tuple[Trouble, ...]:
        """What the contract calls an error."""
        return tuple(item for item in self.troubles if item.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Trouble, ...]:
        """What is a reason to look."""
        return tuple(item for item in self.troubles if item.severity is Severity.WARNING)

    @property
    def quarantined(self) -> dict[str, int]:
        """Rows in quarantine by check."""
        return together(self.quarantine)

    @property
    def verdict(self) -> str:
        """One sentence on the whole."""
        what = "keeps" if not self.errors else "breaks"
        return (
            f"{self.snapshot} {what} the data contract: {self.rows:,} rows in "
            f"{len(self.months)} months, {len(self.errors)} errors, {len(self.warnings)} warnings."
        )

    def young(self, month: Month) -> bool:
        """Tell whether late reports of a month may still be missing."""
        if self.last_reported is None:
            return False
        end = dt.date.fromisoformat(f"{month.month}-{month.days:02d}")
        return (self.last_reported - end).days < RIPE_DAYS

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON types."""
        return {
            "ok": not self.errors, "snapshot": self.snapshot, "source": self.source,
            "rows": self.rows, "rows_in": self.rows_in, "duplicates_removed": self.duplicates,
            "quarantined": {"rows": sum(item.rows for item in self.quarantine),
                            "checks": self.quarantined},
            "errors": len(self.errors), "warnings": len(self.warnings),
            "findings": [item.to_dict() for item in self.troubles],
            "codes": [{"field": item.field, "in_table": item.table, "seen": item.seen,
                       "in_no_table": {str(code): n for code, n in item.unknown.items()}}
                      for item in self.codes],
            "months": [item.to_dict() | {"young": self.young(item)} for item in self.months],
            "months_without_rows": [name for name in self.span
                                    if name not in {item.month for item in self.months}],
        }  # fmt: skip


def measure_quality(
    snapshot: Snapshot, *, as_of: dt.date, quarantine: Sequence[Quarantine] = (),
    on_month: OnMonth | None = None,
) -> Quality:  # fmt: skip
    """Measure a snapshot month by month; memory is bounded by the largest of them.

    Parameters
    ----------
    snapshot : Snapshot
        Verified, as `Snapshot.load` gives it.
    as_of : datetime.date
        Today; nothing may have happened later.
    quarantine : sequence of Quarantine
        What it did not take.
    on_month : callable, optional
        Called with each month as its turn comes.
    """
    city = _city(snapshot)
    coded = [name for name in CODE_COLUMNS if name in snapshot.columns]
    rules = row_rules(as_of, labels=bool(coded), city=city, coded=coded)
    months = tuple(_measured(snapshot, rules, city, on_month))
    manifest = snapshot.manifest
    span = months_between(months[0].month, months[-1].month)
    last = manifest.get("last_date_rptd")
    return Quality(
        snapshot=snapshot.id, source=str(manifest.get("source", "")), rows=snapshot.rows,
        rows_in=int(manifest.get("rows_in", snapshot.rows + _duplicates(manifest))),
        duplicates=_duplicates(manifest), quarantine=tuple(quarantine), months=months,
        span=tuple(span), columns=snapshot.columns,
        troubles=tuple(_troubles(months, span, rules)),
        codes=tuple(_coverage(months, city)),
        last_reported=None if last is None else dt.date.fromisoformat(last),
    )  # fmt: skip


def volume_ratio(months: Sequence[Month], span: Sequence[str]) -> dict[str, float]:
    """Return each month's rows a day against the median of the other months with rows.

    The first and the last month count with the days of the calendar: an export that ends
    in the middle of a month is short of rows, and is told so.
    """
    daily = {item.month: item.rows / item.days for item in months}
    ratios = {}
    for month in span:
        others = [rows for other, rows in daily.items() if other != month]
        ratios[month] = daily.get(month, 0.0) / statistics.median(others) if others else 1.0
    return ratios


def _city(snapshot: Snapshot) -> City:
    if "city" not in snapshot.columns:
        return CITIES[LOS_ANGELES]
    return city_of(snapshot.scan().select(pl.col("city").unique()).collect())


def _measured(
    snapshot: Snapshot, rules: Sequence[Rule], city: City, on_month: OnMonth | None
) -> Iterator[Month]:
    for part in snapshot.manifest["partitions"]:
        month = str(part["month"])
        if on_month:
            on_month(month)
        scan = pl.scan_parquet(snapshot.path / f"{month}.parquet", glob=False)
        yield measure(month, scan, rules, city)


def _duplicates(manifest: dict[str, Any]) -> int:
    return int(manifest.get("duplicates_removed", 0))


def _coverage(months: Sequence[Month], city: City) -> Iterator[Code]:
    for name in CODED:
        seen: dict[int, int] = {}
        for month in months:
            for code, rows in month.codes.get(name, {}).items():
                seen[code] = seen.get(code, 0) + rows
        if seen:
            table = table_of(name, city)
            unknown = {code: rows for code, rows in seen.items() if code not in table}
            ordered = dict(sorted(unknown.items(), key=lambda item: -item[1]))
            yield Code(name, len(table), len(seen.keys() & table), ordered)


def _troubles(
    months: Sequence[Month], span: Sequence[str], rules: Sequence[Rule]
) -> Iterator[Trouble]:
    found = [*_by_rule(months, rules), *_alike(months), *_volume(months, span)]
    yield from sorted(found, key=lambda item: item.severity is not Severity.ERROR)


def _by_rule(months: Sequence[Month], rules: Sequence[Rule]) -> Iterator[Trouble]:
    for rule in rules:
        fired = []
        for month in months:
            count = month.broken.get(rule.check, 0)
            severity = rule.severity_at(count / month.rows, month.rows)
            if severity is not None:
                fired.append((month, count, severity))
        if fired:
            worst, count, _ = max(fired, key=lambda item: item[1] / item[0].rows)
            severity = (Severity.ERROR if any(item[2] is Severity.ERROR for item in fired)
                        else Severity.WARNING)  # fmt: skip
            yield Trouble(
                rule.check, severity, tuple(item[0].month for item in fired),
                sum(item[1] for item in fired), worst.month, count / worst.rows,
                rule.meaning, rule.fix,
            )  # fmt: skip


def _alike(months: Sequence[Month]) -> Iterator[Trouble]:
    enough = [item for item in months if item.rows >= limits.MIN_ROWS]
    fired = [item for item in enough if item.alike / item.rows > limits.ALIKE_SHARE]
    if fired:
        worst = max(fired, key=lambda item: item.alike / item.rows)
        yield Trouble(
            "alike_but_for_number", Severity.WARNING, tuple(item.month for item in fired),
            sum(item.alike for item in fired), worst.month, worst.alike / worst.rows,
            "Unusually many rows say what another says, under another number.",
            "Ask whether reports were entered twice.",
        )  # fmt: skip


def _volume(months: Sequence[Month], span: Sequence[str]) -> Iterator[Trouble]:
    if len(span) < limits.MIN_MONTHS:
        return
    rows = {item.month: item.rows for item in months}
    ratios = volume_ratio(months, span)
    fired = [month for month, ratio in ratios.items()
             if not limits.VOLUME_LOW <= ratio <= limits.VOLUME_HIGH]  # fmt: skip
    if fired:
        worst = max(fired, key=lambda month: abs(ratios[month] - 1))
        yield Trouble(
            VOLUME, Severity.WARNING, tuple(fired),
            sum(rows.get(month, 0) for month in fired), worst, ratios[worst],
            "Months have far fewer or far more rows a day than the others.",
            "Check whether the export is complete; do not learn class shares from such months.",
        )  # fmt: skip
