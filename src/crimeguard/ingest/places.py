"""Districts of a profile, and the generic hundred-blocks that the simulator puts in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from crimeguard.ingest.table import FEWEST, Counts, Ints, cross

# The portal writes a street as its name padded to 29 letters and its kind.
_NAME_WIDTH: Final = 29
BLOCKS: Final = 16
_TREES: Final = (
    "ACACIA", "ALDER", "ASH", "ASPEN", "BEECH", "BIRCH", "CEDAR", "CHERRY", "CHESTNUT",
    "CYPRESS", "ELDER", "ELM", "EUCALYPTUS", "FIR", "HAWTHORN", "HAZEL", "HICKORY", "HOLLY",
    "JACARANDA", "JUNIPER", "LARCH", "LAUREL", "LINDEN", "LOCUST", "MAGNOLIA", "MAPLE",
    "MULBERRY", "MYRTLE", "OAK", "OLIVE", "PALM", "PECAN", "PEPPER", "PINE", "PLUM", "POPLAR",
    "REDWOOD", "ROWAN", "SEQUOIA", "SPRUCE", "SYCAMORE", "TAMARIND", "WALNUT", "WILLOW",
)  # fmt: skip
_KINDS: Final = ("ST", "AV", "BL", "DR", "PL", "WY", "RD")
_SIDES: Final = (" ", "N", "S", "E", "W")
# Blocks that are street corners, without a house number but with a cross street. As
# low blocks are drawn more often, these two make 13 % of incidents, as in the real rows.
CORNERS: Final = (2, 12)


@dataclass(frozen=True, slots=True, eq=False)
class Districts:
    """Reporting districts with at least five incidents.

    `number`, `area`, `latitude`, `longitude` (mean, degrees) and `spread` (standard
    deviation, degrees) have one entry a district. `by_area` counts incidents by area;
    `by_premise` by the pairs of area and premise in `pairs`, where there are enough.
    """

    number: Ints
    area: Ints
    latitude: tuple[float, ...]
    longitude: tuple[float, ...]
    spread: tuple[float, ...]
    by_area: Counts
    pairs: tuple[tuple[int, int], ...]
    by_premise: Counts

    def to_json(self) -> dict[str, Any]:
        """Write everything as plain lists."""
        return {
            "number": self.number.tolist(), "area": self.area.tolist(),
            "latitude": list(self.latitude), "longitude": list(self.longitude),
            "spread": list(self.spread), "by_area": self.by_area.to_json(),
            "pairs": [list(pair) for pair in self.pairs], "by_premise": self.by_premise.to_json(),
        }  # fmt: skip

    @classmethod
    def from_json(cls, packed: dict[str, Any]) -> Districts:
        """Read what `to_json` wrote."""
        many = len(packed["number"])
        return cls(
            np.array(packed["number"], dtype=np.int64), np.array(packed["area"], dtype=np.int64),
            tuple(packed["latitude"]), tuple(packed["longitude"]), tuple(packed["spread"]),
            Counts.from_json(packed["by_area"], many),
            tuple((int(area), int(premise)) for area, premise in packed["pairs"]),
            Counts.from_json(packed["by_premise"], many),
        )  # fmt: skip


def fit_districts(
    frame: pl.DataFrame, areas: Ints, premises: Ints, shape: tuple[int, int]
) -> Districts:
    """Count districts by area and premise, and find their centres.

    Parameters
    ----------
    frame : polars.DataFrame
        Canonical incidents.
    areas, premises : arrays of int, incidents
        Positions in the profile's vocabularies, -1 unknown.
    shape : (int, int)
        Sizes of these vocabularies.
    """
    whole = frame.select("rpt_dist_no", "lat", "lon", area=pl.Series(areas)).with_row_index("row")
    placed = whole.drop_nulls().filter(pl.col("area") >= 0)
    # A district lies in one area; the few rows that say otherwise are slips.
    home = placed.group_by("rpt_dist_no", "area").len().sort("len", "area", descending=True)
    home = home.unique("rpt_dist_no", keep="first", maintain_order=True)
    placed = placed.join(home.select("rpt_dist_no", "area"), on=["rpt_dist_no", "area"])
    table = (
        placed.group_by("rpt_dist_no", "area")
        .agg(pl.len(), pl.col("lat", "lon").mean().round(4),
             spread=(pl.col("lat").std() + pl.col("lon").std()).round(4) / 2)
        .filter(pl.col("len") >= FEWEST).sort("area", "rpt_dist_no")
    )  # fmt: skip
    numbers = {number: place for place, number in enumerate(table["rpt_dist_no"])}
    rows = placed["row"].cast(pl.Int64).to_numpy()
    found = placed["rpt_dist_no"].replace_strict(numbers, default=-1, return_dtype=pl.Int64)
    district = found.to_numpy()
    by_area = Counts.merged(cross(areas[rows], district, (shape[0], len(numbers))))
    pair = np.where(premises[rows] >= 0, areas[rows] * shape[1] + premises[rows], -1)
    by_pair = cross(pair, district, (shape[0] * shape[1], len(numbers)))
    (kept,) = np.nonzero((by_pair >= FEWEST).any(axis=1))
    return Districts(
        table["rpt_dist_no"].cast(pl.Int64).to_numpy(), table["area"].cast(pl.Int64).to_numpy(),
        tuple(table["lat"].to_list()), tuple(table["lon"].to_list()),
        tuple(table["spread"].to_list()), by_area,
        tuple((int(at) // shape[1], int(at) % shape[1]) for at in kept),
        Counts.merged(by_pair[kept]),
    )  # fmt: skip


def blocks(districts: Districts) -> pl.DataFrame:
    """Make the hundred-blocks of every district: generic names, on a grid around its centre.

    Returns one row a block, `BLOCKS` rows a district in its order: LOCATION, Cross Street,
    LAT and LON as the portal writes them. Those of `CORNERS` are street corners.
    """
    rows = [
        _block(district, block, districts)
        for district in range(len(districts.number))
        for block in range(BLOCKS)
    ]
    return pl.DataFrame(rows, schema=["LOCATION", "Cross Street", "LAT", "LON"], orient="row")


def _block(district: int, block: int, districts: Districts) -> tuple[str, str, str, str]:
    # Any fixed scatter will do; large odd factors keep neighbours from looking alike.
    mixed = (district * 7919 + block * 104729) % 1_000_003
    street = _street(mixed)
    east, north = block % 4 - 1.5, block // 4 - 1.5
    step = max(districts.spread[district], 0.0005) / 1.118
    latitude = districts.latitude[district] + step * north
    longitude = districts.longitude[district] + step * east
    if block in CORNERS:
        location, cross_street = street, _street(mixed // 7 + 11)
    else:
        location = f"{100 * (1 + mixed % 189)} {_SIDES[mixed % 5]}  {street}"
        cross_street = ""
    return location, cross_street, _degrees(latitude), _degrees(longitude)


def _street(number: int) -> str:
    name, kind = _TREES[number % len(_TREES)], _KINDS[number // 3 % len(_KINDS)]
    return f"{name:<{_NAME_WIDTH}}{kind}"


def _degrees(value: float) -> str:
    """Write degrees as the portal does: four decimals, no trailing zeros."""
    return f"{value:.4f}".rstrip("0").rstrip(".")
