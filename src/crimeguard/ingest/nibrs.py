"""Los Angeles since March 2024, in the FBI's coding (NIBRS): one row an offence.

One case becomes one incident: that of its gravest offence by the ranks of `nibrs_codes.csv`
(docs/decisions/0016). The other offences are kept beside it, as codes.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from crimeguard.domain.city import LOS_ANGELES
from crimeguard.domain.offense import DOMESTIC, NIBRS, nibrs_of_lapd, offenses
from crimeguard.ingest.frame import canonical
from crimeguard.ingest.los_angeles import HOST
from crimeguard.ingest.portal import Adapted, Portal

FLAG: Final = "domestic_violence_crime"
# Assaults of which the flag says whether they are domestic violence.
_FLAGGED: Final = ("13A", "13B")
_UNRANKED: Final = 1_000
_COLUMNS: Final = {
    "uniquenibrno": "uniquenibrno", "caseno": "dr_no", "nibr_code": "nibr_code",
    FLAG: FLAG, "date_rptd": "date_rptd", "date_occ": "date_occ", "time_occ": "time_occ",
    "area": "area", "rpt_dist_no": "rpt_dist_no", "premis_cd": "premis_cd",
    "weapon_used_cd": "weapon_used_cd", "status": "status",
    "hndrdth_lat": "lat", "hndrdth_lon": "lon",
}  # fmt: skip


def _adapt(table: pl.DataFrame) -> Adapted:
    if FLAG not in table.columns:
        table = table.with_columns(pl.lit(None, pl.String).alias(FLAG))
    rows = table.with_columns(offense=_offense()).with_columns(_rank=_rank())
    cases = rows.sort("dr_no", "_rank", "uniquenibrno").group_by("dr_no", maintain_order=True)
    one = cases.agg(
        pl.all().first(),
        other_offenses=pl.col("offense").slice(1).drop_nulls().unique().sort().str.join(" "),
    )
    remark = f"{rows.height:,} offences are {one.height:,} cases, each known by its gravest"
    kept = one.drop("uniquenibrno", "nibr_code", FLAG, "_rank")
    return Adapted(canonical(kept, source="the portal's rows"), (remark,))


def _offense() -> pl.Expr:
    code = pl.col("nibr_code").str.strip_chars().str.to_uppercase()
    flagged = code.is_in(_FLAGGED) & (
        pl.col(FLAG).str.strip_chars().str.to_lowercase().is_in(["yes", "y", "true"])
    ).fill_null(value=False)
    named = pl.concat_str(pl.lit(f"{NIBRS}:"), code, pl.when(flagged).then(pl.lit(DOMESTIC))
                          .otherwise(pl.lit("")))  # fmt: skip
    return pl.when(code.str.len_chars() > 0).then(named)


def _rank() -> pl.Expr:
    """Rank by gravity: a code in no table first, so that validation sees it; none last."""
    ranks = {name: known.rank for name, known in offenses().items()}
    known = pl.col("offense").replace_strict(ranks, default=-1, return_dtype=pl.Int64)
    return pl.when(pl.col("offense").is_null()).then(_UNRANKED).otherwise(known)


LA_NIBRS: Final = Portal(
    name="la-nibrs", title="LAPD NIBRS Offenses", host=HOST, dataset="k7nn-b2ep",
    city=LOS_ANGELES, coding=NIBRS, columns=_COLUMNS, occurred="date_occ", adapt=_adapt,
    optional=frozenset({FLAG}),
    lacks=("the victim's age, sex and descent", "MO codes", "cross streets",
           "violations of court orders as a category: NIBRS calls them 90Z, all other"),
)  # fmt: skip


def as_nibrs(export: pl.DataFrame) -> pl.DataFrame:
    """Write incidents of the 28-column form, all text, as rows of the NIBRS data set.

    For simulated rows: the incident stays, its codes (Crm Cd, then 2 to 4) become offences
    by `lapd_nibrs.csv`, and what the data set lacks is left out.
    """
    long = (
        export.with_row_index("_incident")
        .unpivot(["Crm Cd", "Crm Cd 2", "Crm Cd 3", "Crm Cd 4"],
                 index=["_incident"], value_name="_code")
        .with_columns(_code=pl.col("_code").cast(pl.Int64, strict=False))
        .drop_nulls("_code")
        .with_columns(
            _nibrs=pl.col("_code").replace_strict(
                dict(nibrs_of_lapd()), default=None, return_dtype=pl.String
            )
        )
        .drop_nulls("_nibrs")
        .unique(["_incident", "_nibrs"], maintain_order=True)
        .sort("_incident", maintain_order=True)
    )  # fmt: skip
    rows = long.join(export.with_row_index("_incident"), on="_incident", maintain_order="left")
    code = pl.col("_nibrs").str.strip_suffix(DOMESTIC)
    domestic = pl.col("_nibrs").str.ends_with(DOMESTIC)
    return rows.select(
        pl.concat_str(
            "DR_NO", pl.lit("_"), code, pl.int_range(pl.len()).over("_incident").cast(pl.String)
        ).alias("uniquenibrno"),
        pl.col("DR_NO").alias("caseno"),
        code.alias("nibr_code"),
        pl.when(domestic).then(pl.lit("Yes")).otherwise(pl.lit("No")).alias(FLAG),
        pl.col("Date Rptd").alias("date_rptd"), pl.col("DATE OCC").alias("date_occ"),
        pl.col("TIME OCC").alias("time_occ"), pl.col("AREA").alias("area"),
        pl.col("Rpt Dist No").alias("rpt_dist_no"), pl.col("Premis Cd").alias("premis_cd"),
        pl.col("Weapon Used Cd").alias("weapon_used_cd"), pl.col("Status").alias("status"),
        pl.col("LAT").alias("hndrdth_lat"), pl.col("LON").alias("hndrdth_lon"),
    )  # fmt: skip
