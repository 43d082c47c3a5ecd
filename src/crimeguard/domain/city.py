"""What is true of a city's data and not of another's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from crimeguard.domain.codes import (
    BLANKS,
    area_names,
    names_of,
    premise_names,
    weapon_names,
)

Range = tuple[float, float]
LOS_ANGELES: Final = "los-angeles"
CHICAGO: Final = "chicago"
# What a premise that its city's table does not list is called until it does.
UNLISTED_PREMISE: Final = 999_999


@dataclass(frozen=True, slots=True)
class City:
    """A city as the data contract and the slices see it.

    `nested` tells whether a district's number begins with its area's, `reported` whether
    its data say when an incident was reported. `region` bounds latitudes and longitudes
    (degrees, WGS 84) that can be meant at all, `latitudes` and `longitudes` those of the
    city. `placeholder_times` (HHMM) stand for "not known". In `bureaus` areas are put
    together that are too small alone.
    """

    key: str
    name: str
    region: tuple[Range, Range]
    latitudes: Range
    longitudes: Range
    areas: Callable[[], Mapping[int, str]]
    premises: Callable[[], Mapping[int, str]]
    weapons: Callable[[], Mapping[int, str]]
    placeholder_times: tuple[int, ...]
    reported: bool = True
    nested: bool = True
    bureaus: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def codes(self, name: str) -> frozenset[int]:
        """Return the codes that a field may hold: area, premis_cd or weapon_used_cd."""
        tables = {"area": self.areas, "premis_cd": self.premises, "weapon_used_cd": self.weapons}
        return frozenset(tables[name]())


CITIES: Final[Mapping[str, City]] = MappingProxyType(
    {
        city.key: city
        for city in (
            # The city with a margin of about 5 km. All 67,000 real rows at hand lie within
            # 33.70 to 34.33 north and 118.67 to 118.15 west.
            City(LOS_ANGELES, "Los Angeles", ((33.3, 34.9), (-119.3, -117.6)),
                 (33.65, 34.40), (-118.75, -118.10), area_names, premise_names, weapon_names,
                 # On the real rows 4.4 to 6.5 % of times are 12:00 or 00:01.
                 (1, 1200),
                 bureaus={"Central": (1, 2, 4, 11, 13), "South": (3, 5, 12, 18),
                          "West": (6, 7, 8, 14, 20), "Valley": (9, 10, 15, 16, 17, 19, 21)}),
            # The municipal bounds with a margin of about 5 km; midnight stands for days
            # without a time. Its police districts and beats are the areas and districts.
            City(CHICAGO, "Chicago", ((41.2, 42.4), (-88.4, -87.1)),
                 (41.60, 42.07), (-87.99, -87.46),
                 lambda: names_of("chicago_districts"), lambda: names_of("chicago_premises"),
                 dict, (0, 1, 1200), reported=False, nested=False,
                 bureaus={"Central": (1, 2, 3, 8, 9, 12), "South": (4, 5, 6, 7, 22),
                          "West": (10, 11, 15, 25), "North": (14, 16, 17, 18, 19, 20, 24)}),
        )
    }
)  # fmt: skip


def repair_city(text: str) -> str | None:
    """Read a city's key; blank is None, as in the exports of Los Angeles."""
    key = text.strip().lower()
    if key in CITIES:
        return key
    if key in BLANKS:
        return None
    raise ValueError(f"is none of {', '.join(CITIES)}")
