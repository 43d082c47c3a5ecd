"""Chicago: one row an incident, coded by Illinois Uniform Crime Reporting (IUCR)."""

from __future__ import annotations

from typing import Final

import polars as pl

from crimeguard.domain.city import CHICAGO as CITY
from crimeguard.domain.city import UNLISTED_PREMISE
from crimeguard.domain.codes import chicago_premise_codes, squeezed
from crimeguard.domain.offense import IUCR
from crimeguard.ingest.frame import canonical
from crimeguard.ingest.portal import Adapted, Portal

_SHOWN: Final = 10
_COLUMNS: Final = {
    "id": "dr_no", "date": "date", "block": "block", "iucr": "iucr",
    "location_description": "location_description", "beat": "rpt_dist_no",
    "district": "area", "latitude": "lat", "longitude": "lon",
}  # fmt: skip


def _adapt(table: pl.DataFrame) -> Adapted:
    places = _premises(table["location_description"])
    code = pl.col("iucr").str.strip_chars().str.to_uppercase()
    rows = table.join(places, on="location_description", how="left", nulls_equal=True).select(
        "dr_no", "rpt_dist_no", "area", "lat", "lon", "premis_cd",
        date_occ="date",
        time_occ=pl.col("date").str.slice(11, 5),
        offense=pl.when(code.str.len_chars() > 0).then(
            pl.concat_str(pl.lit(f"{IUCR}:"), code.str.zfill(4))
        ),
        # '033XX W OGDEN AVE' is the hundred block 3300.
        location=pl.col("block").str.replace(r"^0*(\d+)XX\b", "${1}00"),
        city=pl.lit(CITY),
    )  # fmt: skip
    return Adapted(canonical(rows, source="the portal's rows"), _unlisted(places, table))


def _premises(texts: pl.Series) -> pl.DataFrame:
    """Look each distinct text up; blank is unknown, one that no table lists is 999999."""
    known = chicago_premise_codes()
    distinct = texts.unique().to_list()
    codes = [
        None if not squeezed(text or "") else known.get(squeezed(text), UNLISTED_PREMISE)
        for text in distinct
    ]
    return pl.DataFrame(
        {
            "location_description": pl.Series(distinct, dtype=pl.String),
            "premis_cd": pl.Series(codes, dtype=pl.Int64),
        }
    )


def _unlisted(places: pl.DataFrame, table: pl.DataFrame) -> tuple[str, ...]:
    strange = places.filter(pl.col("premis_cd") == UNLISTED_PREMISE)["location_description"]
    if strange.is_empty():
        return ()
    rows = table["location_description"].is_in(strange.implode()).sum()
    shown = ", ".join(repr(text) for text in strange.sort().head(_SHOWN))
    kept = f"a premise that no table lists, kept as {UNLISTED_PREMISE}"
    return (f"{rows:,} rows have {kept}: {shown}",)


CHICAGO: Final = Portal(
    name="chicago", title="Crimes, 2001 to present", host="data.cityofchicago.org",
    dataset="ijzp-q8t2", city=CITY, coding=IUCR, columns=_COLUMNS, occurred="date", adapt=_adapt,
    lacks=("the victim's age, sex and descent", "MO codes", "weapons",
           "the day of the report", "cross streets",
           "theft from vehicles as a category: IUCR counts it among thefts",
           "incidents of the last seven days"),
)  # fmt: skip
