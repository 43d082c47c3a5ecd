"""Probabilities by latent class that hang on more than one table of a profile."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.codes import crime_codes
from crimeguard.ingest import coding
from crimeguard.ingest.profile import Profile
from crimeguard.ingest.table import Floats, Ints

# Weight of a code that was seen too rarely to be counted, so that every code can occur.
_UNSEEN: Final = 0.5


def class_categories(profile: Profile) -> Ints:
    """Return the position in `CATEGORIES` of each class."""
    table = crime_codes()
    by_pool = [CATEGORIES.index(table[pool[0]].category) for pool in profile.pools]
    return np.array(by_pool, dtype=np.int64)[profile.pool_of]


def class_weights(profile: Profile) -> Floats:
    """Return how many incidents to expect of each class; none is impossible."""
    weights = profile.rows.astype(np.float64)
    by_pool = np.bincount(profile.pool_of, weights, minlength=len(profile.pools))
    for pool, codes in enumerate(profile.pools):
        if by_pool[pool] == 0:
            inside = profile.pool_of == pool
            weights[inside] = _UNSEEN * len(codes) / inside.sum()
    return weights


def code_shares(profile: Profile) -> Floats:
    """Return p(crime code | pool); codes too rare to be counted share the rest."""
    places = {code: place for place, code in enumerate(profile.codes.values)}
    inside = np.zeros((len(profile.pools), len(places)))
    for pool, codes in enumerate(profile.pools):
        inside[pool, [places[code] for code in codes]] = 1 / len(codes)
    counts = profile.codes.pools
    if counts is None:
        raise ValueError("crime codes are counted by pool")
    spread = counts.spread(inside)
    return spread + np.where(counts.cells > 0, 0, _UNSEEN * (inside > 0))


def descent_shares(profile: Profile, shares: dict[str, Floats]) -> Floats:
    """Return p(descent | class and area), the two taken as independent given the descent."""
    by_class = shares["descent"]
    overall = np.maximum(profile.descents.overall.shares(), 1e-9)
    by_area = profile.descents.shares(np.arange(len(profile.fields["area"].values)))
    tilt = by_area / overall
    return np.reshape(by_class[:, None, :] * tilt[None, :, :], (-1, by_class.shape[1]))


def home_shares(area_of: Ints, areas: int) -> Floats:
    """Return p(district | area) if all of an area are alike; any district where it has none."""
    home = (area_of[None, :] == np.arange(areas)[:, None]).astype(np.float64)
    home[home.sum(axis=1) == 0] = 1.0
    return np.asarray(home / home.sum(axis=1, keepdims=True))


def even_ages() -> Floats:
    """Return p(age | age band) if all ages of a band are alike."""
    ends = (*coding.AGE_BANDS[1:], coding.OLDEST + 1)
    even = np.zeros((len(ends), coding.OLDEST + 1))
    for band, (first, end) in enumerate(zip(coding.AGE_BANDS, ends, strict=True)):
        even[band, first:end] = 1 / (end - first)
    return even


def set_shares(steps: NDArray[np.uint16]) -> Floats:
    """Return p(MO code | class) for the one code of a set that would else be empty."""
    shares = steps.astype(np.float64)
    return np.where(shares.sum(axis=1, keepdims=True) > 0, shares, 1.0)


def reported_within(shares: Floats) -> Floats:
    """Return p(reported within this many days | class), 0 to `LONGEST` days x classes."""
    widths = np.diff([*coding.DELAYS, coding.LONGEST + 1])
    daily = np.repeat(shares / widths, widths, axis=1)
    return np.asarray(np.minimum(np.cumsum(daily, axis=1), 1.0).T)


def day_rates(shares: Floats, days: Ints, *, doubt: float) -> Floats:
    """Return how many incidents a class has on a day of each kind, up to a factor.

    `shares` is p(kind of day | class), `days` how many days of each kind there were;
    `doubt` is how many months of days without any rhythm are mixed in. A kind of which
    there were no days is taken for average.
    """
    usual = shares.sum(axis=1, keepdims=True) / days.sum()
    rates = np.where(days > 0, shares / np.maximum(days, 1), usual)
    months = days.sum() / 30
    return np.asarray(usual + (rates - usual) * months / (months + doubt))
