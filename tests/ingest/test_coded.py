from __future__ import annotations

import polars as pl
import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.errors import DataError
from crimeguard.ingest.coded import category_places, city_of, code_text, drop_uncoded, has_codes
from crimeguard.ingest.frame import Reading


def names(frame: pl.DataFrame) -> list[str | None]:
    return [None if place is None else CATEGORIES[place] for place in category_places(frame)]


def test_rows_of_both_codings_have_their_categories() -> None:
    """As after a change of coding: the old rows by the LAPD's code, the new ones by theirs."""
    frame = pl.DataFrame(
        {"crm_cd": [510, None, 510, 999, None],
         "offense": [None, "nibrs:120", "nibrs:220", None, "nibrs:99Z"]},
        schema={"crm_cd": pl.Int32, "offense": pl.String},
    )  # fmt: skip
    assert names(frame) == ["vehicle_theft", "robbery", "burglary", None, None]
    assert code_text(frame).to_list() == ["510", "nibrs:120", "nibrs:220", "999", "nibrs:99Z"]


def test_one_coding_is_enough() -> None:
    old = pl.DataFrame({"crm_cd": [510, 624]}, schema={"crm_cd": pl.Int32})
    new = pl.DataFrame({"offense": ["iucr:0486"]})
    assert names(old) == ["vehicle_theft", "simple_assault"]
    assert names(new) == ["domestic_violence"]
    assert has_codes(old)
    assert has_codes(new)
    neither = pl.DataFrame({"area": [1, 2, 3]})
    assert names(neither) == [None] * 3
    assert not has_codes(neither)


def test_an_unknown_code_is_named_once_with_its_rows_and_left_out() -> None:
    frame = pl.DataFrame({"offense": ["nibrs:120", "nibrs:99Z", None, "nibrs:99Z"]})
    reading = drop_uncoded(Reading(frame))
    assert reading.drop_bad()["offense"].to_list() == ["nibrs:120"]
    assert [(bad.value, bad.reason, bad.row) for bad in reading.bad] == [
        ("nibrs:99Z", "is in no code table (2 rows)", 2), ("", "is in no code table (1 rows)", 3),
    ]  # fmt: skip
    clean = Reading(frame.head(1))
    assert drop_uncoded(clean) is clean


def test_a_frame_is_of_one_city() -> None:
    assert city_of(pl.DataFrame({"area": [1]})).key == "los-angeles"
    assert city_of(pl.DataFrame({"city": ["chicago", "chicago"]})).key == "chicago"
    with pytest.raises(DataError, match="several cities"):
        city_of(pl.DataFrame({"city": ["chicago", None]}))
