"""Evidently's view of a window: its drift measures for each field, and its HTML report.

The only module that imports evidently. It is a second opinion with pictures: the verdict
is made from CrimeGuard's own measures (docs/monitoring.md), on all rows. Evidently's
chi-square takes the shares of the reference for exact, so on two samples of one size its
p-values are smaller than chance alone would make them.
"""

from __future__ import annotations

import html as markup
import math
import os
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl

from crimeguard.domain.errors import DataError
from crimeguard.ingest.writer import write_text

Kind = Literal["numeric", "categorical"]
Values = dict[str, dict[str, float]]

TITLE: Final = "CrimeGuard drift"
METHODS: Final[Mapping[Kind, tuple[str, ...]]] = {
    "numeric": ("wasserstein", "ks", "jensenshannon"),
    "categorical": ("chisquare", "jensenshannon"),
}
MISSING: Final = "(missing)"
OTHER: Final = "(other)"
# What a picture can show; the rest of a field's codes are one bar.
_CATEGORIES: Final = 30
_LEAST_SEEN: Final = 5
_EMPTY: Final = (
    '<!DOCTYPE html><html lang="en"><head><meta charset="UTF-8"></head><body></body></html>'
)
# Its page needs nothing from elsewhere, and with this the browser sees to that.
_POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob:; worker-src blob:; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)


def drift_report(
    reference: pl.DataFrame,
    current: pl.DataFrame,
    kinds: Mapping[str, Kind],
    *,
    html: Path | None,
    rows: int = 5000,
    seed: int = 0,
    sparse: Collection[str] = ("label",),
) -> Values:
    """Compare two frames column by column, and write the page if asked to.

    Parameters
    ----------
    reference, current
        Frames with the columns that `kinds` names; DataError if one has no row.
    kinds
        How each column is compared. "numeric" by Wasserstein distance (in standard
        deviations of the reference), K-S (p-value) and Jensen-Shannon distance (natural
        logarithm) on the known values; "categorical" by chi-square (p-value) and
        Jensen-Shannon distance, where a null is a category and those beyond the most
        frequent are one. A numeric column without a known value on one side is compared
        as known or missing.
    html
        Where to write the page, some 5 MB that load nothing; None for none.
    rows
        At most so many of each frame are taken, by chance with `seed`.
    sparse
        Columns in which a null is "not known yet" and is left out.

    Returns
    -------
    dict
        By column and method Evidently's value. A method without a finite value and a
        column with nothing to compare on one side are left out ({} for the column).
    """
    for frame, name in ((reference, "reference"), (current, "current window")):
        if not frame.height:
            raise DataError("There is nothing to compare.", why=f"The {name} has no rows.",
                            fix="Choose a window that holds incidents.")  # fmt: skip
    before, after = (_sampled(frame, kinds, rows, seed) for frame in (reference, current))
    pairs = _pairs(before, after, kinds, sparse)
    found: Values = {name: {} for name in kinds}
    page = _EMPTY
    if pairs:
        with _quiet():
            run = _run(pairs)
            page = run.get_html_str(as_iframe=False) if html else ""
        _collect(run.dict(), found)
    if html:
        write_text(html, _titled(page, min(reference.height, rows), min(current.height, rows)))
    return found


@dataclass(frozen=True, slots=True)
class _Pair:
    """One column on both sides: floats or texts, null where not known."""

    kind: Kind
    before: pl.Series
    after: pl.Series


def _sampled(frame: pl.DataFrame, kinds: Mapping[str, Kind], rows: int, seed: int) -> pl.DataFrame:
    chosen = frame.select(name for name in kinds if name in frame.columns)
    return chosen if chosen.height <= rows else chosen.sample(rows, seed=seed)


def _pairs(
    before: pl.DataFrame, after: pl.DataFrame, kinds: Mapping[str, Kind], sparse: Collection[str]
) -> dict[str, _Pair]:
    """Lay out the columns that can be compared."""
    pairs: dict[str, _Pair] = {}
    for name, kind in kinds.items():
        if name not in before.columns or name not in after.columns:
            continue
        make = _numeric if kind == "numeric" else _categorical
        pair = make(before[name], after[name], sparse=name in sparse)
        if pair is not None:
            pairs[name] = pair
    return pairs


def _numeric(before: pl.Series, after: pl.Series, *, sparse: bool) -> _Pair | None:
    one, other = (_numbers(column) for column in (before, after))
    if _has_values(one) and _has_values(other):
        return _Pair("numeric", one, other)
    if sparse:
        return None
    return _categorical(_known_or_not(one), _known_or_not(other), sparse=False)


def _numbers(column: pl.Series) -> pl.Series:
    numbers = column.cast(pl.Float64)
    return numbers.set(~numbers.is_finite(), None)


def _known_or_not(column: pl.Series) -> pl.Series:
    return column.is_not_null().replace_strict({True: "(known)", False: None})


def _has_values(column: pl.Series) -> bool:
    return column.null_count() < len(column)


def _categorical(before: pl.Series, after: pl.Series, *, sparse: bool) -> _Pair | None:
    # Evidently writes texts into a script of its page as they are.
    one, other = (
        column.cast(pl.String).str.replace_all("<", "&lt;", literal=True)
        for column in (before, after)
    )
    if not sparse:
        one, other = one.fill_null(MISSING), other.fill_null(MISSING)
    if not (_has_values(one) and _has_values(other)):
        return None
    kept = _frequent(one, other)
    return _Pair("categorical", _folded(one, kept), _folded(other, kept))


def _frequent(before: pl.Series, after: pl.Series) -> list[str]:
    """Return the texts that are frequent on either side, and what is missing."""
    counts = pl.concat([_shares(column) for column in (before, after)])
    ranked = counts.group_by("value").agg(pl.max("share"), pl.max("count"))
    ranked = ranked.sort("share", "value", descending=[True, False])
    often = ranked.filter((pl.col("count") >= _LEAST_SEEN) | (pl.col("value") == MISSING))
    # With a handful of rows none is frequent.
    return (often if often.height > 1 else ranked)["value"].head(_CATEGORIES).to_list()


def _folded(column: pl.Series, kept: list[str]) -> pl.Series:
    return column.set(column.is_not_null() & ~column.is_in(kept), OTHER)


def _run(pairs: Mapping[str, _Pair]) -> Any:
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift
    from evidently.presets import DataDriftPreset

    numeric = [name for name, pair in pairs.items() if pair.kind == "numeric"]
    definition = DataDefinition(
        numerical_columns=numeric,
        categorical_columns=[name for name in pairs if name not in numeric],
    )
    before, after = (
        Dataset.from_pandas(pd.DataFrame(columns), definition)
        for columns in (
            {name: pair.before.to_numpy() for name, pair in pairs.items()},
            {name: pair.after.to_numpy() for name, pair in pairs.items()},
        )
    )
    metrics = [
        DataDriftPreset(num_method="wasserstein", cat_method="jensenshannon"),
        DataDriftPreset(num_method="ks", cat_method="chisquare"),
        *(ValueDrift(column=name, method="jensenshannon") for name in numeric),
    ]
    return Report(metrics).run(after, before)


def _shares(column: pl.Series) -> pl.DataFrame:
    counts = column.drop_nulls().alias("value").value_counts()
    return counts.with_columns(share=pl.col("count") / pl.col("count").sum())


def _collect(result: Mapping[str, Any], found: Values) -> None:
    for metric in result["metrics"]:
        config = metric["config"]
        if "column" not in config:
            continue
        value = float(metric["value"])
        if math.isfinite(value):
            found[config["column"]][config["method"]] = value


def _titled(page: str, before: int, after: int) -> str:
    """Give Evidently's page a title, a first line, and a policy that forbids it the network."""
    head = (
        f'<head><meta http-equiv="Content-Security-Policy" content="{markup.escape(_POLICY)}">'
        f"<title>{TITLE}</title>"
    )
    line = (
        f'<body><h1 style="font: 600 1.5rem system-ui, sans-serif; margin: 1rem">{TITLE}</h1>'
        '<p style="font: 1rem system-ui, sans-serif; margin: 1rem">Evidently on '
        f"{before:,} incidents of the reference and {after:,} of the window, drawn by chance. "
        "Its thresholds are its own; the verdict is on the page beside this one.</p>"
    )
    return page.strip().replace("<head>", head, 1).replace("<body>", line, 1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep evidently from calling home, and its libraries' warnings to themselves."""
    import numpy as np

    os.environ.setdefault("DO_NOT_TRACK", "1")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
