"""Incidents as no clerk would write them: what a table cannot hold, and what is at its edges."""

from __future__ import annotations

import numpy as np

from crimeguard.features.columns import MISSING, NO_DELAY, Columns, Ints

HUGE = (2**31, 2**32 + 5, -(2**32), 2**62, 2**63 - 1, -(2**63))
TIMES = (MISSING, -2, 0, 1, 59, 100, 1200, 1201, 1415, 2359, 2360, 9999, *HUGE)
CODES = (MISSING, -2, -101, 0, 1, 12, 101, 102, 400, 502, 624, 1249, 999_999, *HUGE)
AGES = (MISSING, -5, 0, 1, 17, 18, 34, 79, 80, 120, 130, 131, 999, *HUGE)
DELAYS = (NO_DELAY, -3, -1, 0, 1, 2, 3, 4, 7, 8, 30, 31, 180, 181, 10**5)
DAYS = (-719_162, -1, 0, 11_016, 19_416, 19_417, 19_782, 20_000, 2_932_896)
PLACES = (np.nan, 0.0, -0.0, 33.9701, 34.1, -118.2903, 1e30, -1e30, np.inf, -np.inf)
MO_CODES = (0, 1, 344, 416, 1813, 2000, 2004, 9998, 9999, 10**4, -1, *HUGE)
FEW, MOST = 4, 200  # MO codes


def strange(count: int, seed: int) -> Columns:
    """Draw `count` incidents of all levels; one in forty has up to MOST codes."""
    rng = np.random.default_rng(seed)

    def pick(values: tuple[int, ...]) -> Ints:
        return np.array(values, np.int64)[rng.integers(0, len(values), count)]

    level = rng.integers(0, 3, count)
    codes = rng.integers(0, np.where(rng.random(count) < 1 / 40, MOST + 1, FEW + 1))
    offsets = np.concatenate([[0], np.cumsum(np.where(level == 2, codes, 0))]).astype(np.int64)
    known = rng.integers(0, 2500, offsets[-1])
    odd = np.array(MO_CODES, np.int64)[rng.integers(0, len(MO_CODES), offsets[-1])]
    return Columns(
        level=level, day=pick(DAYS), time_occ=pick(TIMES), area=pick(CODES),
        rpt_dist_no=pick(CODES), premis_cd=pick(CODES), crossed=rng.integers(0, 2, count),
        lat=rng.choice(PLACES, count), lon=rng.choice(PLACES, count), vict_age=pick(AGES),
        vict_sex=rng.integers(-1, 3, count), vict_descent=rng.integers(-1, 19, count),
        delay=pick(DELAYS), weapon_used_cd=pick(CODES), mo_offsets=offsets,
        mo_values=np.where(rng.random(offsets[-1]) < 0.3, odd, known),
    ).hidden_above_level()  # fmt: skip
