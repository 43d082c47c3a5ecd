"""Leakage: fields that tell the category because they were made from it, or after it.

By name, the fields that the design forbids are refused in any spelling. By evidence, a
field is suspected when it nearly determines the category, or is itself nearly determined
by the crime code (as `Part 1-2` is, though its two values say little of 15 categories).
Both are measured as a share of entropy explained (Theil's uncertainty coefficient).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import polars as pl

from crimeguard.domain.errors import GateRefusedError
from crimeguard.domain.field import CANONICAL_NAMES, FORBIDDEN_FEATURES
from crimeguard.domain.incident import INCIDENT_FIELDS
from crimeguard.ingest.coded import category_places, code_text, has_codes
from crimeguard.validate import limits
from crimeguard.validate.finding import Evidence, Finding, Severity

# What joins the parts of a feature's name: crosses, one-hots, namespaces.
_JOINTS: Final = re.compile(r"[=:*|&+@\u00d7]| x ")
_BLANK: Final = "(blank)"


def forbidden_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names that a feature must not have, in any spelling, alone or in a cross.

    `Crm Cd 1`, `crm_cd_1`, `CRM-CD-1`, `crm_cd_1=510` and `premis_cd*crm_cd_1` are all
    the same field.
    """
    return tuple(name for name in names if any(map(_is_forbidden, _JOINTS.split(name))))


def refuse_forbidden(names: Iterable[str]) -> None:
    """Raise GateRefusedError if a feature has a forbidden name."""
    found = forbidden_names(names)
    if found:
        raise GateRefusedError(
            f"{len(found)} features would leak the answer: {', '.join(found[:10])}.",
            why="The target, what is made from it, and what is known only after the "
            "investigation are never features.",
            fix="Leave them out.",
        )


def _is_forbidden(part: str) -> bool:
    name = CANONICAL_NAMES.get(part.strip())
    if name is None:
        name = re.sub(r"[^a-z0-9]+", "_", part.lower()).strip("_")
    return any(name == bad or name.startswith(f"{bad}_") for bad in FORBIDDEN_FEATURES)


def check_names(names: Sequence[str]) -> list[Finding]:
    """Report features with a forbidden name."""
    found = forbidden_names(names)
    if not found:
        return []
    return [
        Finding(
            check="forbidden_features", severity=Severity.ERROR,
            count=len(found), share=len(found) / len(names),
            meaning="Features are the target, made from it, or known only afterwards.",
            fix="Leave them out.",
            evidence=tuple(Evidence(None, None, name) for name in found),
        )
    ]  # fmt: skip


def check_leakage(
    frame: pl.DataFrame,
    fields: Sequence[str] = INCIDENT_FIELDS,
    *,
    on_check: Callable[[str], None] | None = None,
) -> list[Finding]:
    """Report fields of a frame that tell the category too well to be honest.

    Parameters
    ----------
    frame : polars.DataFrame
        Incidents with a canonical `crm_cd` or `offense`, and the fields to be examined, of
        any type.
    fields : sequence of str
        The columns to examine; by default what an incident may carry.
    on_check : callable, optional
        Called with each field's name as its turn comes.
    """
    labelled = _labelled(frame.gather_every(max(1, frame.height // limits.LEAK_ROWS)))
    if labelled.height < limits.MIN_ROWS:
        return []
    findings = []
    for name in fields:
        if name in labelled.columns:
            if on_check:
                on_check(name)
            findings += _examine(labelled, name)
    return findings


def _labelled(frame: pl.DataFrame) -> pl.DataFrame:
    if not has_codes(frame):
        return frame.clear()
    named = frame.with_columns(_category=category_places(frame), _code=code_text(frame))
    return named.drop_nulls("_category")


def _examine(labelled: pl.DataFrame, name: str) -> list[Finding]:
    values = _as_levels(labelled[name])
    table = pl.DataFrame(
        {"value": values, "category": labelled["_category"], "code": labelled["_code"]}
    )
    supported = table.filter(pl.len().over("value") >= limits.LEAK_SUPPORT)
    coverage = supported.height / table.height
    if coverage < limits.LEAK_COVERAGE or supported["value"].n_unique() < 2:
        return []
    tells = explained(supported, "category", by="value")
    if tells >= limits.CATEGORY_EXPLAINED:
        meaning = (
            f"{name} explains {tells:.1%} of the category's entropy (honest fields stay below "
            f"{limits.CATEGORY_EXPLAINED:.0%})."
        )
        return [_suspect("leaks_category", name, supported, coverage, meaning)]
    if table.height < limits.LEAK_LEAST_ROWS:
        return []
    read_off = explained(supported, "value", by="code")
    if read_off >= limits.FIELD_EXPLAINED:
        meaning = f"The crime code explains {read_off:.1%} of {name}: it must be made from it."
        return [_suspect("read_off_crime_code", name, supported, coverage, meaning)]
    return []


def _as_levels(series: pl.Series) -> pl.Series:
    """Write any column as text levels: many numbers as quantiles, blank as a level."""
    if series.dtype == pl.List:
        return series.cast(pl.List(pl.String)).list.join(" ").fill_null(_BLANK)
    if series.dtype.is_numeric() and series.n_unique() > limits.LEAK_BINS:
        position = (series.rank("dense") - 1) * limits.LEAK_BINS // series.n_unique()
        return position.cast(pl.String).fill_null(_BLANK)
    return series.cast(pl.String).fill_null(_BLANK)


def explained(table: pl.DataFrame, column: str, *, by: str) -> float:
    """Return the share of a column's entropy that another explains, 0 to 1."""
    total = _entropy(table[column].value_counts()["count"])
    if total <= 0:
        return 0.0
    cells = table.group_by(by, column).agg(n=pl.len())
    # H(column | by) = H(column, by) - H(by)
    rest = _entropy(cells["n"]) - _entropy(table[by].value_counts()["count"])
    return 1 - max(rest, 0.0) / total


def _entropy(counts: pl.Series) -> float:
    entropy = counts.cast(pl.Float64).entropy(normalize=True)
    return float(entropy or 0.0)


def _suspect(
    check: str, name: str, supported: pl.DataFrame, coverage: float, meaning: str
) -> Finding:
    common = (
        supported.group_by("value")
        .agg(n=pl.len(), category=pl.col("category").mode().sort().first())
        .sort(["n", "value"], descending=[True, False])
        .head(5)
    )
    return Finding(
        check=check, severity=Severity.ERROR, count=supported.height, share=coverage,
        meaning=meaning, fix=f"Leave {name} out of the features.",
        evidence=tuple(
            Evidence(None, None, f"{name} {value}: mostly {category}, {n:,} rows")
            for value, n, category in common.select("value", "n", "category").iter_rows()
        ),
    )  # fmt: skip
