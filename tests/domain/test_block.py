from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crimeguard.domain.block import coarsened, round_degrees, to_block

FILES = ("la_2023q1", "la_westla_2020_2021", "la_2020_biased")
PUBLISHED = [
    "1400 N  MAIN                         ST", "00 GATEWAY PLZ", "10200    SANTA MONICA  BL",
    "6TH                          ST", "W AVENUE 26", "TERRACE 49", "BERTH 181", "10FWY",
    "405 FREEWAY", "S 5FWY", "Z0MBAR", "700 S AVENUE 57", "MULHOLLAND", "", "   ",
    "caf\u00e9\u2028 'x', y",
]  # fmt: skip
PIECES = st.sampled_from(
    ["1432", "1432A", "1432-36", "1/2", "#5", "APT", "5", "B", "N", "Main", "ST", "AVENUE", "26",
     "6TH", "405", "FWY", ",", "10FWY", "\u0661\u0662\u0663\u0664", "\uff11\uff14\uff13\uff12",
     "\u00b2", "\u2163", "Ca\u00f1on", "90012", "Unit7", "00"]
)  # fmt: skip
NAMES = re.compile(r"\d{1,3}(ST|ND|RD|TH|FWY)|[A-Z]+0[A-Z]+", re.IGNORECASE)
NUMBERED = re.compile(r"(AVENUE|AVE|TERRACE|BERTH) \d{1,3}|\d{1,3} (FWY|FREEWAY)", re.IGNORECASE)


@pytest.mark.parametrize("address", PUBLISHED)
def test_what_is_published_stays_as_it_is(address: str) -> None:
    assert to_block(address) is address


@pytest.mark.parametrize(
    ("address", "block"),
    [
        ("1432 N Main St", "1400 N Main St"),
        ("1432 1/2 N  Main   St #5", "1400 N Main St"),
        ("1432-1436 N MAIN ST", "1400 N MAIN ST"),
        ("1432A N MAIN ST", "1400 N MAIN ST"),
        ("1432N MAIN ST", "1400 MAIN ST"),
        ("1432 MAIN ST APT 5", "1400 MAIN ST"),
        ("1400 N MAIN ST UNIT B", "1400 N MAIN ST"),
        ("Apt 5, 1432 N MAIN ST", "1400 N MAIN ST"),
        ("1432 N MAIN ST, LOS ANGELES, CA 90012", "1400 N MAIN ST LOS ANGELES CA"),
        ("MAIN ST 1432", "MAIN ST"),
        ("NEAR 1432 MAIN ST", "NEAR"),
        ("5 W 5TH ST", "00 W 5TH ST"),
        ("32 AVENUE 26", "00 AVENUE 26"),
        ("AVENUE 1432", "AVENUE"),
        ("1432", "1400"),
        ("\uff11\uff14\uff13\uff12 MAIN ST", "1400 MAIN ST"),
        ("\u0661\u0664\u0663\u0662 MAIN ST", "1400 MAIN ST"),
        ("\u00b9\u2074\u00b3\u00b2 MAIN ST", "1400 MAIN ST"),
        ("1432 CA\u00d1ON DR", "1400 CA\u00d1ON DR"),
    ],
)
def test_an_exact_address_becomes_its_block(address: str, block: str) -> None:
    assert to_block(address) == block


@settings(deadline=None)
@given(st.one_of(st.text(), st.lists(PIECES).map(" ".join), st.lists(PIECES).map("".join)))
@example("AVENUE 26 26 26")
@example("5 ,")
@example(",")
def test_no_digits_are_left_but_of_blocks_and_names(address: str) -> None:
    block = to_block(address)
    assert to_block(block) == block
    first, *rest = block.split() or [""]
    named = {end for pair in NUMBERED.finditer(" ".join(block.split())) for end in pair[0].split()}
    for token in (first, *rest):
        digits = any(letter.isnumeric() for letter in token)
        assert not digits or token in named or NAMES.fullmatch(token) or (
            token == first and re.fullmatch(r"\d*00", token, re.ASCII)
        )  # fmt: skip


def test_every_point_of_the_grid_stays_the_same_number() -> None:
    grid = [float(f"{place / 10_000:.4f}") for place in range(333_000, 349_001)]
    grid += [float(f"-{place / 10_000:.4f}") for place in range(1_176_000, 1_193_001)]
    assert [round_degrees(value) for value in grid] == grid


@given(st.floats())
def test_degrees_land_on_the_grid_and_stay_there(value: float) -> None:
    rounded = round_degrees(value)
    assert rounded == round_degrees(rounded) or math.isnan(value) or abs(value) > 1e6
    if abs(value) < 1_000:
        assert abs(rounded - value) <= 0.000_050_01
        assert rounded == float(f"{rounded:.4f}")


def test_only_what_is_finer_is_touched() -> None:
    record: dict[str, Any] = {
        "DATE OCC": "03/10/2023", "LOCATION": PUBLISHED[0], "LAT": "34.0459", "LON": -118.2545,
        "Cross Street": None, "lat": "34.04590", "DR_NO": 1432,
    }  # fmt: skip
    # A fifth decimal is finer, even if it is a zero that somebody's program has added.
    assert coarsened(record) == {**record, "lat": "34.0459"}
    del record["lat"]
    assert coarsened(record) is record


@pytest.mark.parametrize("names", [("LOCATION", "Cross Street"), ("location", "cross_street")])
def test_addresses_of_either_spelling_are_reduced(names: tuple[str, str]) -> None:
    exact = {name: f"14{place}2 Main St" for place, name in enumerate(names)}
    assert coarsened(exact) == dict.fromkeys(names, "1400 Main St")
    assert exact[names[0]] == "1402 Main St"
    assert coarsened({names[0]: 1432}) == {names[0]: "1400"}


@pytest.mark.parametrize("name", ["LAT", "lat", "LON", "lon"])
@pytest.mark.parametrize(
    ("given_value", "coarse"),
    [
        (34.052234, 34.0522), (-118.243683, -118.2437), ("34.052234", "34.0522"),
        (" -118.243683 ", "-118.2437"), ("3.4052234e1", "34.0522"), (34, 34), ("34", "34"),
        (0, 0), ("", ""), ("unknown, 34.052234", ""), (10**400, 10**400), (math.inf, math.inf),
    ],
)  # fmt: skip
def test_degrees_are_rounded_in_the_form_that_they_have(
    name: str, given_value: Any, coarse: Any
) -> None:
    assert coarsened({name: given_value}).get(name) == coarse


@pytest.mark.realdata
@pytest.mark.parametrize("name", FILES)
def test_real_published_rows_are_left_bit_for_bit(realdata: Path, name: str) -> None:
    frame = pl.read_parquet(realdata / f"{name}.parquet")
    for typed in (frame, frame.with_columns(pl.col("LAT", "LON").cast(pl.Float64))):
        finer = [
            (row["LOCATION"], found["LOCATION"])
            for row in typed.iter_rows(named=True) if (found := coarsened(row)) is not row
        ]  # fmt: skip
        # A freeway and a berth that lost their word, and may as well be house numbers.
        expected = {("110", "100"), ("202", "200")} if name == "la_2023q1" else set()
        assert set(finer) == expected
        assert len(finer) == len(expected)


def test_an_incident_is_no_finer_whichever_way_it_comes() -> None:
    from crimeguard.domain.incident import Incident
    from crimeguard.ingest.frame import canonical

    fine = {"DATE OCC": "03/10/2023", "AREA": "1", "LOCATION": "1432 MAIN ST #5",
            "Cross Street": "12 2ND ST", "LAT": "34.052234", "LON": "-118.243683"}  # fmt: skip
    coarse = {"location": "1400 MAIN ST", "cross_street": "00 2ND ST",
              "lat": 34.0522, "lon": -118.2437}  # fmt: skip
    incident = Incident.from_record(fine)
    assert {name: getattr(incident, name) for name in coarse} == coarse
    (row,) = canonical(pl.DataFrame([fine])).require_clean("it").rows(named=True)
    assert {name: row[name] for name in coarse} == coarse
