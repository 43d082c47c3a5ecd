"""The police's code tables: what each code means, and which codes there are.

The tables are CSV files in the package, one a noun. `description` is the portal's own
text, as its exports hold it ('' where the portal leaves it blank); `name` says the same
in a form that people read.

Sources
-------
crime_codes.csv, areas.csv, premises.csv, weapons.csv, statuses.csv
    The portal's data dictionary and the code and description columns of its exports
    (data.lacity.org, "Crime Data from 2020 to Present", 2nrs-mtv8, and "Crime Data from
    2010 to 2019", 63jg-8b9z). The categories are CrimeGuard's own. Fourteen rare premises
    (869, 870, 873, 877-879, 882-884, 894-896, 963, 965) are stations placed by their
    order on the line between two stations whose codes are known, and 143 by the
    alphabet; weapons that our own rows lack come from public copies of the data.
descents.csv, sexes.csv
    The letters and names of the same data dictionary.
area_centroids.csv
    Median LAT and LON of the incidents of the first quarter of 2023, to two decimals
    (about a kilometre): enough to draw the city, not to place anything.
chicago_districts.csv, chicago_premises.csv
    Police districts of Chicago, those closed in 2012 with them, and the texts that its portal
    has for places ("Crimes - 2001 to Present", ijzp-q8t2). The portal has no codes for them;
    these are CrimeGuard's own. Several spellings of a place share a code.
mo_codes.csv
    "MO Codes in Numerical Order", the Los Angeles Police Department's list that the data
    dictionary links to. Abbreviations are written out, and an entry that only makes
    sense under its heading carries it ("Disguise: gloves").
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from crimeguard.domain.category import Category

# How sources write "nothing here".
BLANKS: Final = frozenset({"", "-", "nan", "none", "null", "n/a", "na"})


@dataclass(frozen=True, slots=True)
class CrimeCode:
    """One crime code: the portal's text, its FBI part (1 or 2) and CrimeGuard's category."""

    code: int
    description: str
    part: int
    category: Category


@cache
def crime_codes() -> Mapping[int, CrimeCode]:
    """All 140 codes of `Crm Cd`; a code that is not among them is unknown."""
    return MappingProxyType(
        {
            int(row["code"]): CrimeCode(
                int(row["code"]), row["description"], int(row["part"]), Category(row["category"])
            )
            for row in rows_of("crime_codes")
        }
    )


def category_of(code: int | None) -> Category | None:
    """Return the category of a crime code, None if the code is unknown or missing."""
    crime = None if code is None else crime_codes().get(code)
    return None if crime is None else crime.category


@cache
def area_names() -> Mapping[int, str]:
    """Names of the 21 police areas by `AREA`."""
    return _by_number("areas", "name")


@cache
def area_centroids() -> Mapping[int, tuple[float, float]]:
    """Return a middle of each area by `AREA`: latitude and longitude in degrees (WGS 84)."""
    return MappingProxyType(
        {
            int(row["code"]): (float(row["lat"]), float(row["lon"]))
            for row in rows_of("area_centroids")
        }
    )


@cache
def premise_names() -> Mapping[int, str]:
    """Readable names by `Premis Cd`."""
    return _by_number("premises", "name")


@cache
def weapon_names() -> Mapping[int, str]:
    """Readable names by `Weapon Used Cd`."""
    return _by_number("weapons", "name")


@cache
def mo_names() -> Mapping[int, str]:
    """Readable names by MO code; some codes in use are on no published list (see `mo_name`)."""
    return _by_number("mo_codes", "name")


def mo_name(code: int) -> str:
    """Return the name of an MO code, or `MO code 0853` where it has none."""
    return mo_names().get(code, f"MO code {code:04d}")


@cache
def status_names() -> Mapping[str, str]:
    """Readable names by `Status`."""
    return _by_letter("statuses", "name")


@cache
def descent_names() -> Mapping[str, str]:
    """Names by the letters of `Vict Descent`."""
    return _by_letter("descents", "name")


@cache
def sex_names() -> Mapping[str, str]:
    """Names by the letters of `Vict Sex`."""
    return _by_letter("sexes", "name")


@cache
def area_descriptions() -> Mapping[int, str]:
    """Return the portal's `AREA NAME` by `AREA`."""
    return _by_number("areas", "description")


@cache
def premise_descriptions() -> Mapping[int, str]:
    """Return the portal's `Premis Desc` by `Premis Cd`; '' where the portal has none."""
    return _by_number("premises", "description")


@cache
def weapon_descriptions() -> Mapping[int, str]:
    """Return the portal's `Weapon Desc` by `Weapon Used Cd`."""
    return _by_number("weapons", "description")


@cache
def status_descriptions() -> Mapping[str, str]:
    """Return the portal's `Status Desc` by `Status`."""
    return _by_letter("statuses", "description")


@cache
def names_of(table: str) -> Mapping[int, str]:
    """Return the readable names of a city's own table by code."""
    return _by_number(table, "name")


@cache
def chicago_premise_codes() -> Mapping[str, int]:
    """Codes of Chicago's premises by `squeezed` text; several texts may share one."""
    return MappingProxyType(
        {squeezed(row["description"]): int(row["code"]) for row in rows_of("chicago_premises")}
    )


def squeezed(text: str) -> str:
    """Return letters and digits only: the portal changes blanks, slashes and dashes."""
    return "".join(filter(str.isalnum, text.upper()))


def rows_of(table: str) -> list[dict[str, str]]:
    """Return the rows of one of the package's tables."""
    path = files("crimeguard.domain") / "data" / f"{table}.csv"
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def _by_number(table: str, column: str) -> Mapping[int, str]:
    return MappingProxyType({int(row["code"]): row[column] for row in rows_of(table)})


def _by_letter(table: str, column: str) -> Mapping[str, str]:
    return MappingProxyType({row["code"]: row[column] for row in rows_of(table)})
