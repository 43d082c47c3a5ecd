"""Where a challenger is worse than the champion: by place, time, victim and category.

Every slice of every level is tested for a loss in accuracy and in log-loss, some hundreds
of tests in all; Holm's correction (1979) keeps the chance of naming any slice of an equal
challenger below `alpha`, however many there are.

By true category only the highest level is tested. Below it categories are hardly told apart,
and two models that are equally good trade them: docs/decisions/0009-gates.md has the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.city import CITIES, LOS_ANGELES
from crimeguard.evaluate.comparison import Answers, differences
from crimeguard.features.columns import Floats, Ints
from crimeguard.ingest.coded import city_of

MEASURES: Final = ("accuracy", "log-loss")
CATEGORY: Final = "category"
HOURS: Final = 4  # of a band of the day

# The police's own four bureaus: what a single area is too small to show.
BUREAUS: Final = CITIES[LOS_ANGELES].bureaus


@dataclass(frozen=True, slots=True)
class SliceLoss:
    """What the challenger loses against the champion in one slice at one level.

    `loss` is in accuracy (a share) or log-loss (nats), above 0 where the challenger is
    worse; `p` the chance of such a loss between equals, before correction; `significant`
    says whether it stands after it.
    """

    level: str
    slice: str
    value: str
    rows: int
    measure: str
    loss: float
    p: float
    significant: bool

    def __str__(self) -> str:
        return f"{self.slice} {self.value} at {self.level}: {self.measure} {self.loss:+.4f}"


def _area(frame: pl.DataFrame) -> pl.Series:
    return frame["area"].replace_strict(
        dict(city_of(frame).areas()), default=None, return_dtype=pl.String
    )  # fmt: skip


def _bureau(frame: pl.DataFrame) -> pl.Series:
    bureau = {area: name for name, areas in city_of(frame).bureaus.items() for area in areas}
    return frame["area"].replace_strict(bureau, default=None, return_dtype=pl.String)


def _hours(frame: pl.DataFrame) -> pl.Series:
    band = frame["time_occ"] // (100 * HOURS) * HOURS
    return band.cast(pl.String).str.zfill(2) + ":00 and after"


def _text(name: str) -> Callable[[pl.DataFrame], pl.Series]:
    return lambda frame: frame[name].cast(pl.String).fill_null("unknown")


# A slice and the columns that it is told from; rows without a value are in none.
SLICES: Final[Mapping[str, tuple[str, Callable[[pl.DataFrame], pl.Series]]]] = {
    "area": ("area", _area),
    "bureau": ("area", _bureau),
    "hours": ("time_occ", _hours),
    "victim sex": ("vict_sex", _text("vict_sex")),
    "victim descent": ("vict_descent", _text("vict_descent")),
}


def groups(
    frame: pl.DataFrame, truth: Ints, least: int
) -> Iterator[tuple[str, str, NDArray[np.intp]]]:
    """Yield each slice of at least `least` incidents: its kind, its value, its rows."""
    labels = {
        kind: tell(frame) for kind, (column, tell) in SLICES.items() if column in frame.columns
    }
    labels[CATEGORY] = pl.Series(np.array(CATEGORIES)[truth])
    if frame.height >= least:
        yield "all", "incidents", np.arange(frame.height)
    for kind, series in labels.items():
        for value in series.drop_nulls().unique().sort():
            rows = np.flatnonzero((series == value).fill_null(value=False).to_numpy())
            if len(rows) >= least:
                yield kind, str(value), rows


def slice_losses(
    frame: pl.DataFrame,
    truth: Ints,
    challenger: Answers,
    champion: Answers,
    *,
    least: int,
    alpha: float,
) -> list[SliceLoss]:
    """Test every slice at every level; the largest losses first."""
    found: list[tuple[str, str, str, int, str]] = []
    loss: list[float] = []
    p: list[float] = []
    parts = list(groups(frame, truth, least))
    for level in challenger:
        worse = differences(challenger[level], champion[level], truth) * (-1, 1)
        for kind, value, rows in parts:
            if kind == CATEGORY and level != max(challenger):
                continue
            means, chances = _one_sided(worse[rows])
            for place, measure in enumerate(MEASURES):
                found.append((level.label, kind, value, len(rows), measure))
                loss.append(float(means[place]))
                p.append(float(chances[place]))
    stands = holm(np.array(p), alpha)
    rows_of = zip(found, loss, p, stands, strict=True)
    slices = [SliceLoss(*names, mean, chance, bool(ok)) for names, mean, chance, ok in rows_of]
    return sorted(slices, key=lambda item: -item.loss)


def _one_sided(worse: Floats) -> tuple[Floats, Floats]:
    """Return mean losses and the chance of such between equals (Student's t), by column."""
    from scipy.stats import t as student

    rows = len(worse)
    mean = worse.mean(axis=0)
    error = worse.std(axis=0, ddof=1) / np.sqrt(rows)
    # The same loss on every incident is no chance; none at all is no loss.
    score = np.divide(mean, error, out=np.where(mean > 0, np.inf, -np.inf), where=error > 0)
    return mean, student.sf(score, rows - 1)


def holm(p: Floats, alpha: float) -> NDArray[np.bool_]:
    """Return which of several tests stand, with chance `alpha` of any false one (Holm 1979)."""
    order = np.argsort(p)
    allowed = alpha / np.arange(len(p), 0, -1)
    # The first test that fails takes all behind it along.
    stands = np.logical_and.accumulate(p[order] <= allowed)
    result = np.zeros(len(p), bool)
    result[order] = stands
    return result
