"""Rows of the portals' data sets, made of simulated incidents."""

from __future__ import annotations

import datetime as dt

import polars as pl

from crimeguard.domain.field import BY_NAME
from crimeguard.ingest.los_angeles import LA_2020
from crimeguard.ingest.nibrs import as_nibrs
from crimeguard.ingest.simulator import simulate

Row = dict[str, str]
IUCR = ("0810", "0460", "0486", "1310", "0910", "0560", "0610", "1153", "0320", "2027", "041A")
PLACES = ("STREET", "APARTMENT", "RESIDENCE - PORCH / HALLWAY", "SIDEWALK", "", "MOON BASE")


def export(rows: int, seed: int = 1, start: dt.date = dt.date(2023, 1, 1)) -> pl.DataFrame:
    """Return simulated incidents in the 28-column form."""
    return pl.concat(simulate(rows, seed=seed, start=start, end=start + dt.timedelta(59)))


def los_angeles(rows: int) -> list[Row]:
    """Return rows as `2nrs-mtv8` gives them."""
    made = export(rows).select(
        pl.col(BY_NAME[name].column).alias(column) for column, name in LA_2020.columns.items()
    )
    return _given(made)


def nibrs(rows: int) -> list[Row]:
    """Return rows as `k7nn-b2ep` gives them; `rows` is the number of cases."""
    return _given(as_nibrs(export(rows)))


def chicago(rows: int) -> list[Row]:
    """Return rows as `ijzp-q8t2` gives them."""
    return [
        {
            "id": str(10_000_000 + number),
            "date": f"2024-0{1 + number % 3}-{1 + number % 27:02d}T{number % 24:02d}:15:00.000",
            "block": f"0{number % 90 + 1:02d}XX W OGDEN AVE", "iucr": IUCR[number % len(IUCR)],
            "location_description": PLACES[number % len(PLACES)],
            "beat": f"{number % 20 + 1:02d}12", "district": f"{number % 12 + 1:03d}",
            "latitude": f"41.{8000 + number % 1000}12345",
            "longitude": f"-87.{6000 + number % 900}9",
        }
        for number in range(rows)
    ]  # fmt: skip


def _given(frame: pl.DataFrame) -> list[Row]:
    """Write days as a portal does, and leave blanks out."""
    iso = pl.col("^date_.*$").str.replace(r"^(..)/(..)/(....).*$", "${3}-${1}-${2}T00:00:00.000")
    frame = frame.with_columns(iso)
    return [{name: value for name, value in row.items() if value} for row in frame.to_dicts()]
