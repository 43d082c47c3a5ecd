"""The fields in which drift is looked for, as they are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from crimeguard.domain.level import InformationLevel
from crimeguard.ingest.frame import SCHEMA

Kind = Literal["numeric", "categorical", "codes"]


@dataclass(frozen=True, slots=True)
class Watched:
    """One field: how it is made from a canonical frame, and from which level on it is known."""

    name: str
    kind: Kind
    level: InformationLevel
    value: pl.Expr


_CALL, _VICTIM, _REPORT = InformationLevel
_DELAY: Final = (pl.col("date_rptd") - pl.col("date_occ")).dt.total_days().cast(pl.Float64)
# Late reports of the newest incidents are not in yet, so only prompt ones are compared:
# NaN is left out of every comparison, where null counts as unknown.
_PROMPT: Final = pl.when(_DELAY <= 7).then(_DELAY).when(_DELAY.is_not_null()).then(float("nan"))
# The calendar is not among them: which weekdays a window holds says nothing of its incidents.
WATCHED: Final[tuple[Watched, ...]] = (
    Watched("hour", "numeric", _CALL, pl.col("time_occ") // 100),
    Watched("area", "categorical", _CALL, pl.col("area")),
    Watched("rpt_dist_no", "categorical", _CALL, pl.col("rpt_dist_no")),
    Watched("lat", "numeric", _CALL, pl.col("lat")),
    Watched("lon", "numeric", _CALL, pl.col("lon")),
    Watched("premis_cd", "categorical", _CALL, pl.col("premis_cd")),
    Watched("cross_street", "categorical", _CALL,
            pl.col("cross_street").is_not_null().cast(pl.Int32)),
    Watched("vict_age", "numeric", _VICTIM, pl.col("vict_age")),
    Watched("vict_sex", "categorical", _VICTIM, pl.col("vict_sex")),
    Watched("vict_descent", "categorical", _VICTIM, pl.col("vict_descent")),
    Watched("days_until_reported", "numeric", _VICTIM, _PROMPT),
    Watched("weapon_used_cd", "categorical", _REPORT, pl.col("weapon_used_cd")),
    Watched("mocodes", "codes", _REPORT, pl.col("mocodes").fill_null([])),
    Watched("mo_count", "numeric", _REPORT, pl.col("mocodes").list.len().fill_null(0)),
)  # fmt: skip
BY_NAME: Final = {field.name: field for field in WATCHED}


def watched_frame(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the watched fields of a canonical frame, and `date_occ`; absent ones are null."""
    full = frame.with_columns(
        pl.lit(None, dtype).alias(name) for name, dtype in SCHEMA.items() if name not in frame
    )
    return full.select("date_occ", *(field.value.alias(field.name) for field in WATCHED))
