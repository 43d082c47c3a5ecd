"""Incidents that meet the contract in every point, for one change to break."""

import datetime as dt
import random
from typing import Any

import polars as pl

from crimeguard.domain.codes import crime_codes
from crimeguard.ingest.frame import SCHEMA

AS_OF = dt.date(2023, 6, 1)
FIRST = dt.date(2023, 1, 1)
DAYS = 120  # January to April
ROWS = DAYS * 5


def incidents(**changes: Any) -> pl.DataFrame:
    """600 canonical incidents, five a day; a change gives a column's list or single value."""
    rng = random.Random(11)
    areas = [rng.randrange(1, 22) for _ in range(ROWS)]
    days = [FIRST + dt.timedelta(days=n // 5) for n in range(ROWS)]
    data: dict[str, Any] = {
        "dr_no": [f"23{n:07d}" for n in range(ROWS)],
        "date_rptd": [day + dt.timedelta(days=rng.randrange(5)) for day in days],
        "date_occ": days,
        "time_occ": [rng.randrange(24) * 100 + rng.randrange(2, 60) for _ in range(ROWS)],
        "area": areas,
        "rpt_dist_no": [area * 100 + rng.randrange(1, 99) for area in areas],
        "crm_cd": [rng.choice(sorted(crime_codes())) for _ in range(ROWS)],
        "mocodes": [rng.sample([344, 416, 1822], 1 if n % 10 else 0) for n in range(ROWS)],
        "vict_age": [rng.randrange(2, 100) if n % 5 else None for n in range(ROWS)],
        "vict_sex": [rng.choice("FM") if n % 8 else None for n in range(ROWS)],
        "vict_descent": [rng.choice("HBWO") if n % 8 else None for n in range(ROWS)],
        "premis_cd": [rng.choice([101, 501, 502]) for _ in range(ROWS)],
        "weapon_used_cd": [400 if n % 3 == 0 else None for n in range(ROWS)],
        "location": [f"{n} BROADWAY" for n in range(ROWS)],
        "cross_street": ["MAIN ST" if n % 6 == 0 else None for n in range(ROWS)],
        "lat": [34.0 + rng.random() / 10 for _ in range(ROWS)],
        "lon": [-118.3 - rng.random() / 10 for _ in range(ROWS)],
    }
    for name, values in changes.items():
        data[name] = values if isinstance(values, list) else [values] * ROWS
    return pl.DataFrame(data, schema={name: SCHEMA[name] for name in data})


def with_first(values: int, **changes: Any) -> pl.DataFrame:
    """Change a column in the first `values` rows only."""
    frame = incidents()
    hit = pl.int_range(pl.len()) < values
    return frame.with_columns(
        pl.when(hit).then(pl.lit(value, SCHEMA[name])).otherwise(pl.col(name)).alias(name)
        for name, value in changes.items()
    )
