"""Los Angeles in the old coding: 2010 to 2019, and 2020 to 2024."""

from __future__ import annotations

from typing import Final

import polars as pl

from crimeguard.domain.city import LOS_ANGELES
from crimeguard.domain.field import FIELDS, FOREIGN_FIELDS
from crimeguard.ingest.frame import canonical
from crimeguard.ingest.portal import Adapted, Portal

HOST: Final = "data.lacity.org"
# The 22 of the 28 columns that are no mere text of a code.
_COLUMNS: Final = {item.name: item.name for item in FIELDS if item.name not in FOREIGN_FIELDS}


def _adapt(table: pl.DataFrame) -> Adapted:
    return Adapted(canonical(table, source="the portal's rows"))


LA_2020: Final = Portal(
    name="la-2020", title="Crime Data from 2020 to 2024", host=HOST, dataset="2nrs-mtv8",
    city=LOS_ANGELES, coding="lapd", columns=_COLUMNS, occurred="date_occ", adapt=_adapt,
    lacks=("incidents entered since the change of coding on 2024-03-07",),
)  # fmt: skip
# In the older set the column AREA has a blank at its end, which the API writes as `area_`.
LA_2010: Final = Portal(
    name="la-2010", title="Crime Data from 2010 to 2019", host=HOST, dataset="63jg-8b9z",
    city=LOS_ANGELES, coding="lapd", columns=_COLUMNS, occurred="date_occ", adapt=_adapt,
    alternatives={"area_": "area"},
)  # fmt: skip
