"""Drift of fields, correlations, predictions, labels and volume against a reference.

How the scores are made, and why the thresholds mean what they say: docs/monitoring.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.level import InformationLevel
from crimeguard.evaluate.distance import (
    Bins,
    chi_square,
    correlation_pairs,
    correlations,
    distance,
    excess,
    jensen_shannon,
    known_numbers,
    kolmogorov_smirnov,
    wasserstein,
)
from crimeguard.evaluate.reference import Reference, daily_counts
from crimeguard.evaluate.watched import WATCHED, Watched
from crimeguard.features.columns import Floats, Ints
from crimeguard.monitor.component import ALPHA, Component
from crimeguard.monitor.observed import Observed

# What every field may move by without being worth an alarm, whatever the training data
# did: a Jensen-Shannon distance of 0.1 is a share of 10 % that becomes 18 %.
FLOOR: Final = 0.1
# Beyond it, three times as far as a week of the training days lay from the others.
TIMES_NATURAL: Final = 3.0
CORRELATION_FLOOR: Final = 0.2
VOLUME_FLOOR: Final = math.log(1.5)  # a half more, or a third less
LEAST_ROWS: Final = 100
LEAST_NEW: Final = 5  # labels of a category never seen before it counts as more than a slip
_Z: Final = 3.3  # two-sided 0.001


def drift_components(
    reference: Reference, observed: Observed, *, volume: bool = True
) -> list[Component]:
    """Compare everything that can be compared; what has too few incidents is left out."""
    found = [*_fields(reference, observed), *_correlations(reference, observed)]
    if len(observed) >= LEAST_ROWS:
        found.append(_predictions(reference, observed))
    labels = observed.matured.label
    if len(labels) >= LEAST_ROWS:
        found.append(target_component(reference, labels))
    if volume and len(observed) >= LEAST_ROWS:
        found.append(_volume(reference, observed))
    return found


def _fields(reference: Reference, observed: Observed) -> Iterator[Component]:
    bins = reference.bins()
    for field in WATCHED:
        now = observed.known_from(field.level)[field.name]
        yield from _field(field, bins[field.name], reference, now)


def _field(field: Watched, bins: Bins, reference: Reference, now: pl.Series) -> Iterator[Component]:
    before = reference.sample[field.name]
    old, new = bins.counts(before), bins.counts(now)
    # What is left out of comparisons may be all there is. Shares of codes are rounded.
    if not old.sum() or round(float(new.sum())) < LEAST_ROWS:
        return
    p_value = chi_square(old, new)
    measures = {
        "jensen_shannon": math.sqrt(jensen_shannon(old, new)),
        "chi_square_p": p_value,
        "unknown_before": old[-1] / old.sum(),
        "unknown_now": new[-1] / new.sum(),
    }
    if field.kind == "numeric":
        one, other = known_numbers(before), known_numbers(now)
        statistic, ks_p = kolmogorov_smirnov(one, other)
        measures |= {
            "kolmogorov_smirnov": statistic, "kolmogorov_smirnov_p": ks_p,
            "wasserstein": wasserstein(one, other),
        }  # fmt: skip
        p_value = min(1.0, 2 * min(p_value, ks_p))
    yield Component(
        field.name, "field", distance(old, new), _critical(reference, field.name),
        p_value < ALPHA, _most_moved(bins, old, new), measures,
    )  # fmt: skip


def _critical(reference: Reference, name: str, floor: float = FLOOR) -> float:
    return max(floor, TIMES_NATURAL * reference.natural.get(name, 0.0))


def _most_moved(bins: Bins, old: Floats, new: Floats) -> str:
    """Say which class changed its share most."""
    before, now = old / old.sum(), new / new.sum()
    place = int(np.abs(now - before).argmax())
    return f"{_class_name(bins, place)}: {before[place]:.1%} -> {now[place]:.1%}"


def _class_name(bins: Bins, place: int) -> str:
    if place == bins.size - 1:
        return "none" if bins.kind == "codes" else "unknown"
    if bins.kind != "numeric":
        return str(bins.values[place]) if place < len(bins.values) else "other"
    if not bins.edges:
        return "known"
    if place == 0:
        return f"up to {bins.edges[0]:g}"
    if place == len(bins.edges):
        return f"above {bins.edges[-1]:g}"
    return f"{bins.edges[place - 1]:g} to {bins.edges[place]:g}"


def _correlations(reference: Reference, observed: Observed) -> Iterator[Component]:
    now = observed.known_from(InformationLevel.REPORT)
    if now.height < LEAST_ROWS:
        return
    (before, rows), (after, counts) = correlations(reference.sample), correlations(now)
    enough = (np.minimum(rows, counts) >= LEAST_ROWS) & np.isfinite(before) & np.isfinite(after)
    pairs = correlation_pairs()
    for place in np.flatnonzero(enough):
        old, new = float(before[place]), float(after[place])
        error = math.sqrt(1 / rows[place] + 1 / counts[place])
        moved = abs(new - old)
        yield Component(
            pairs[place], "correlation", moved,
            _critical(reference, pairs[place], CORRELATION_FLOOR),
            moved > _Z * error, f"{old:+.2f} -> {new:+.2f}",
        )  # fmt: skip


def _predictions(reference: Reference, observed: Observed) -> Component:
    """Compare predicted shares level by level, so that a change of levels is none of them."""
    best = observed.probabilities.argmax(axis=1)
    parts, p_values = [], []
    for level in InformationLevel:
        inside = observed.level == int(level)
        if not inside.any():
            continue
        old = np.array(reference.levels[level.label].predicted, np.float64)
        new = _by_category(best[inside])
        parts.append((float(inside.mean()) * excess(old, new), _most_shifted(old, new)))
        p_values.append(chi_square(old, new))
    moved = math.sqrt(max(0.0, sum(part for part, _ in parts)))
    return Component(
        "prediction", "prediction", moved, _critical(reference, "labels"),
        min(p_values) * len(p_values) < ALPHA, max(parts)[1],
    )  # fmt: skip


def target_component(reference: Reference, labels: Ints) -> Component:
    """Compare the categories of labels, places of shape (n,), with those of the training days."""
    old, new = np.array(reference.labels, np.float64), _by_category(labels)
    unseen = np.flatnonzero((old == 0) & (new >= LEAST_NEW))
    if len(unseen):
        named = ", ".join(CATEGORIES[place] for place in unseen)
        count = int(new[unseen].sum())
        words = f"never seen in training: {named} ({count} of {len(labels)} labels)"
        return Component("label", "target", 1.0, FLOOR, significant=True, words=words)
    return Component(
        "label", "target", distance(old, new), _critical(reference, "labels"),
        chi_square(old, new) < ALPHA, _most_shifted(old, new),
    )  # fmt: skip


def _by_category(places: Ints) -> Floats:
    return np.bincount(places, minlength=len(CATEGORIES)).astype(np.float64)


def _most_shifted(old: Floats, new: Floats) -> str:
    before, now = old / max(old.sum(), 1), new / new.sum()
    place = int(np.abs(now - before).argmax())
    return f"{CATEGORIES[place]}: {before[place]:.1%} -> {now[place]:.1%}"


def _volume(reference: Reference, observed: Observed) -> Component:
    daily = daily_counts(observed.fields["date_occ"])
    now = float(np.median(daily)) / observed.share if len(daily) else 0.0
    words = f"{reference.daily:,.0f} -> {now:,.0f} incidents a day"
    ratio = max(now, 0.5) / max(reference.daily, 0.5)
    moved = abs(math.log(ratio))
    error = 1.25 / math.sqrt(max(daily.sum(), 1.0))  # a median of Poisson counts
    critical = max(VOLUME_FLOOR, TIMES_NATURAL * reference.volume_natural)
    return Component(
        "volume", "volume", moved, critical, moved > _Z * error, words, {"ratio": ratio}
    )
