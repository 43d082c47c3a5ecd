"""The fields of an incident: their names, types and repair functions, in one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from crimeguard.domain import repair
from crimeguard.domain.city import repair_city
from crimeguard.domain.offense import repair_offense, repair_offenses

Kind = Literal["text", "date", "int", "float", "codes"]


@dataclass(frozen=True, slots=True)
class Field:
    """One canonical field.

    `name` is the portal's own API name, `column` the heading in its exports;
    `repair` turns the export's text into the canonical value.
    """

    name: str
    column: str
    kind: Kind
    repair: Callable[[str], Any]


FIELDS: Final[tuple[Field, ...]] = (
    Field("dr_no", "DR_NO", "text", repair.repair_number),
    Field("date_rptd", "Date Rptd", "date", repair.repair_date),
    Field("date_occ", "DATE OCC", "date", repair.repair_date),
    Field("time_occ", "TIME OCC", "int", repair.repair_time),
    Field("area", "AREA", "int", repair.repair_code),
    Field("rpt_dist_no", "Rpt Dist No", "int", repair.repair_code),
    Field("crm_cd", "Crm Cd", "int", repair.repair_code),
    Field("mocodes", "Mocodes", "codes", repair.repair_mocodes),
    Field("vict_age", "Vict Age", "int", repair.repair_age),
    Field("vict_sex", "Vict Sex", "text", repair.repair_sex),
    Field("vict_descent", "Vict Descent", "text", repair.repair_descent),
    Field("premis_cd", "Premis Cd", "int", repair.repair_code),
    Field("weapon_used_cd", "Weapon Used Cd", "int", repair.repair_code),
    Field("status", "Status", "text", repair.repair_status),
    Field("crm_cd_1", "Crm Cd 1", "int", repair.repair_code),
    Field("crm_cd_2", "Crm Cd 2", "int", repair.repair_code),
    Field("crm_cd_3", "Crm Cd 3", "int", repair.repair_code),
    Field("crm_cd_4", "Crm Cd 4", "int", repair.repair_code),
    Field("location", "LOCATION", "text", repair.repair_address),
    Field("cross_street", "Cross Street", "text", repair.repair_address),
    Field("lat", "LAT", "float", repair.repair_latitude),
    Field("lon", "LON", "float", repair.repair_longitude),
    # In no export of Los Angeles: what other sources say in place of `crm_cd`, the case's
    # other offences, and which city it is.
    Field("offense", "Offense", "text", repair_offense),
    Field("other_offenses", "Other Offenses", "text", repair_offenses),
    Field("city", "City", "text", repair_city),
)
BY_NAME: Final = {field.name: field for field in FIELDS}
# Fields that the exports of Los Angeles do not have.
FOREIGN_FIELDS: Final = frozenset({"offense", "other_offenses", "city"})

# Redundant texts: their codes say the same, and the wording changes between exports.
DERIVED_COLUMNS: Final = {
    "AREA NAME": "area_name",
    "Part 1-2": "part_1_2",
    "Crm Cd Desc": "crm_cd_desc",
    "Premis Desc": "premis_desc",
    "Weapon Desc": "weapon_desc",
    "Status Desc": "status_desc",
}

# The 28 columns of the portal's export, in its order.
EXPORT_COLUMNS: Final[tuple[str, ...]] = (
    "DR_NO", "Date Rptd", "DATE OCC", "TIME OCC", "AREA", "AREA NAME", "Rpt Dist No",
    "Part 1-2", "Crm Cd", "Crm Cd Desc", "Mocodes", "Vict Age", "Vict Sex", "Vict Descent",
    "Premis Cd", "Premis Desc", "Weapon Used Cd", "Weapon Desc", "Status", "Status Desc",
    "Crm Cd 1", "Crm Cd 2", "Crm Cd 3", "Crm Cd 4", "LOCATION", "Cross Street", "LAT", "LON",
)  # fmt: skip

# Either spelling of a column leads to its canonical name.
CANONICAL_NAMES: Final[dict[str, str]] = {
    **{field.column: field.name for field in FIELDS},
    **DERIVED_COLUMNS,
    **{field.name: field.name for field in FIELDS},
    **{name: name for name in DERIVED_COLUMNS.values()},
}

# Never a feature: the target itself, its parts, and what is known only later (the
# data dictionary calls Status the outcome of the investigation).
FORBIDDEN_FEATURES: Final = frozenset(
    {
        "dr_no", "crm_cd", "crm_cd_desc", "crm_cd_1", "crm_cd_2", "crm_cd_3", "crm_cd_4",
        "part_1_2", "status", "status_desc", "category", "offense", "other_offenses",
    }
)  # fmt: skip
