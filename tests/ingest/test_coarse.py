from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from crimeguard.domain.block import coarsened, round_degrees
from crimeguard.ingest.coarse import coarse

EXACT = {
    "LOCATION": ["1432 N  MAIN ST", "1400 N  MAIN ST", None, "1400 MAIN ST #B", "\uff11\uff14 A"],
    "Cross Street": ["6TH ST", "", None, "1432 2ND ST", "AVENUE 26"],
    "LAT": ["34.052234", "34.0522", None, "", "34.05"],
    "LON": [-118.243683, -118.2437, None, float("nan"), -118.0],
    "DR_NO": [1, 2, 3, 4, 5],
}


def test_a_frame_is_made_coarse_as_its_rows_are() -> None:
    frame = pl.DataFrame(EXACT)
    assert coarse(frame).rows(named=True)[:3] == [
        dict(coarsened(row)) for row in frame.rows(named=True)[:3]
    ]
    assert coarse(frame)["LOCATION"].to_list() == [
        "1400 N MAIN ST", "1400 N  MAIN ST", None, "1400 MAIN ST", "00 A",
    ]  # fmt: skip
    crossed = ["6TH ST", "", None, "1400 2ND ST", "AVENUE 26"]
    assert coarse(frame)["Cross Street"].to_list() == crossed
    assert coarse(frame)["LON"].is_nan().to_list() == [False, False, None, True, False]
    assert coarse(coarse(frame))["LAT"].equals(coarse(frame)["LAT"])


def test_what_is_coarse_already_is_the_very_frame(exported: pl.DataFrame) -> None:
    assert coarse(exported) is exported
    typed = exported.select(pl.col("LAT", "LON").cast(pl.Float64))
    assert coarse(typed) is typed


def test_canonical_rows_hold_no_more_than_is_published() -> None:
    from crimeguard.ingest.frame import canonical

    fine = pl.DataFrame({"DATE OCC": ["03/10/2023"], "AREA": ["1"], "LOCATION": ["1432 MAIN ST #5"],
                         "LAT": ["34.052234"], "LON": ["-118.243683"]})  # fmt: skip
    (row,) = canonical(fine).require_clean("it").rows(named=True)
    assert (row["location"], row["lat"], row["lon"]) == ("1400 MAIN ST", 34.0522, -118.2437)


def test_both_forms_round_to_the_same_bit() -> None:
    degrees = [33.3 + place * 0.000_013_7 for place in range(50_000)]
    degrees += [-119 + place * 0.000_05 for place in range(20_000)]
    found = coarse(pl.DataFrame({"lat": degrees}))["lat"].to_list()
    assert found == [round_degrees(value) for value in degrees]


@pytest.mark.realdata
def test_real_rows_are_coarse_already_but_for_two(realdata: Path) -> None:
    frame = pl.read_parquet(realdata / "la_2023q1.parquet")
    changed = coarse(frame)
    assert changed.drop("LOCATION").equals(frame.drop("LOCATION"))
    moved = changed.filter(changed["LOCATION"] != frame["LOCATION"])["LOCATION"].to_list()
    assert sorted(moved) == ["100", "200"]
    typed = frame.select(pl.col("LAT", "LON").cast(pl.Float64))
    assert coarse(typed) is typed
