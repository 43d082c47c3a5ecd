"""How far two samples of a field lie apart, and whether chance explains it.

All distances between shares are Jensen-Shannon distances with logarithms to base 2 (Lin
1991; Endres and Schindelin 2003): 0 for equal shares, 1 for shares that have nothing in
common. What two samples of one population differ by chance is taken off the square.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from crimeguard.evaluate.watched import WATCHED, Kind, Watched
from crimeguard.features.columns import Floats

_QUANTILES: Final = 10
_MOST_VALUES: Final = 30
_LEAST_SHARE: Final = 0.005


@dataclass(frozen=True, slots=True)
class Bins:
    """Classes of one field: reference quantiles, or the reference's frequent values.

    There is always a class for everything else, and one for unknown.
    """

    kind: Kind
    edges: tuple[float, ...]
    values: tuple[Any, ...]

    @classmethod
    def fit(cls, field: Watched, series: pl.Series) -> Bins:
        """Choose the classes of a field from its reference sample."""
        if field.kind == "numeric":
            numbers = known_numbers(series)
            if not len(numbers):
                return cls(field.kind, (), ())
            inner = np.quantile(numbers, np.linspace(0, 1, _QUANTILES + 1)[1:-1])
            return cls(field.kind, tuple(np.unique(inner).tolist()), ())
        plain = series.explode(empty_as_null=False) if field.kind == "codes" else series
        found = plain.drop_nulls().value_counts(sort=True)
        frequent = found.filter(found["count"] >= _LEAST_SHARE * len(series))
        # Ties in the count must not depend on the order of rows.
        ranked = frequent.sort("count", plain.name, descending=[True, False])
        return cls(field.kind, (), tuple(ranked[plain.name].head(_MOST_VALUES).to_list()))

    @property
    def size(self) -> int:
        """The number of classes."""
        known = len(self.edges) + 1 if self.kind == "numeric" else len(self.values) + 1
        return known + 1

    def counts(self, series: pl.Series) -> Floats:
        """Count a sample's values, shape (size,).

        An incident with several codes counts a share for each, so that the counts of a
        sample always add up to its number of incidents.
        """
        if self.kind == "codes":
            return self._code_counts(series)
        unknown = self.size - 1
        if self.kind == "numeric":
            place = np.searchsorted(self.edges, known_numbers(series))
            place = np.append(place, np.full(series.null_count(), unknown))
        else:
            place = self._places(series)
        return np.bincount(place, minlength=self.size).astype(np.float64)

    def _places(self, series: pl.Series) -> np.ndarray[Any, np.dtype[np.int64]]:
        known = {value: place for place, value in enumerate(self.values)}
        if not known:
            return np.where(series.is_null().to_numpy(), 1, 0)
        place = series.replace_strict(known, default=len(known), return_dtype=pl.Int64)
        return np.where(series.is_null().to_numpy(), len(known) + 1, place.to_numpy())

    def _code_counts(self, series: pl.Series) -> Floats:
        lengths = series.list.len().to_numpy()
        place = self._places(series.explode(empty_as_null=False))
        weights = np.repeat(1 / np.maximum(lengths, 1), lengths)
        counts: Floats = np.bincount(place, weights, minlength=self.size).astype(np.float64)
        counts[-1] += (lengths == 0).sum()
        return counts


def known_numbers(series: pl.Series) -> Floats:
    """Return the values of a numeric field that can be compared: neither unknown nor NaN."""
    return series.cast(pl.Float64).drop_nulls().drop_nans().to_numpy()


def jensen_shannon(first: Floats, second: Floats) -> float:
    """Return the Jensen-Shannon divergence of two tables of counts, in bits, 0 to 1."""
    p, q = first / first.sum(), second / second.sum()
    middle = (p + q) / 2

    def divergence(shares: Floats) -> float:
        some = shares > 0
        return float((shares[some] * np.log2(shares[some] / middle[some])).sum())

    return max(0.0, (divergence(p) + divergence(q)) / 2)


def excess(first: Floats, second: Floats) -> float:
    """Return the divergence less what chance makes of equal shares; may be below 0.

    To second order the divergence of two samples of one population, sizes n and m in k
    classes, is (1/n + 1/m) / (8 ln 2) times a chi-square with k - 1 degrees of freedom.
    """
    n, m = first.sum(), second.sum()
    if not n or not m:
        return 0.0
    classes = int(((first + second) > 0).sum())
    by_chance = (classes - 1) * float(1 / n + 1 / m) / (8 * math.log(2))
    return jensen_shannon(first, second) - by_chance


def distance(first: Floats, second: Floats) -> float:
    """Return the Jensen-Shannon distance of two tables of counts, less chance, 0 to 1."""
    return math.sqrt(max(0.0, excess(first, second)))


def chi_square(first: Floats, second: Floats) -> float:
    """Return the p-value of Pearson's chi-square test that two tables are of one population."""
    from scipy.stats import chi2_contingency

    table = np.vstack([first, second])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2 or not table.sum(axis=1).all():
        return 1.0
    return float(chi2_contingency(table).pvalue)


def kolmogorov_smirnov(first: Floats, second: Floats) -> tuple[float, float]:
    """Return the two-sample K-S statistic (0 to 1) and its p-value."""
    from scipy.stats import ks_2samp

    if not len(first) or not len(second):
        return 0.0, 1.0
    found = ks_2samp(first, second, method="asymp")
    return float(found.statistic), float(found.pvalue)


def wasserstein(first: Floats, second: Floats) -> float:
    """Return the Wasserstein distance in standard deviations of the first sample."""
    from scipy.stats import wasserstein_distance

    spread = float(np.std(first)) if len(first) else 0.0
    if not len(second) or not spread:
        return 0.0
    return float(wasserstein_distance(first, second)) / spread


def correlations(frame: pl.DataFrame) -> tuple[Floats, Floats]:
    """Return Spearman's rank correlations of the numeric fields, and of how many incidents.

    Both have the shape (pairs,). A pair is looked at where both are known; NaN if that is
    nowhere, or one is constant.
    """
    names = [field.name for field in WATCHED if field.kind == "numeric"]
    found, rows = [], []
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            both = frame.select(pl.col(one, other).cast(pl.Float64)).drop_nulls().drop_nans()
            found.append(_spearman(both) if both.height > 2 else math.nan)
            rows.append(float(both.height))
    return np.array(found), np.array(rows)


def correlation_pairs() -> list[str]:
    """Return the names of the pairs that `correlations` looks at, in its order."""
    names = [field.name for field in WATCHED if field.kind == "numeric"]
    return [f"{one} ~ {other}" for place, one in enumerate(names) for other in names[place + 1 :]]


def _spearman(both: pl.DataFrame) -> float:
    ranks = both.select(pl.all().rank("average")).to_numpy().T
    if not ranks.std(axis=1).all():
        return math.nan
    return float(np.corrcoef(ranks)[0, 1])
