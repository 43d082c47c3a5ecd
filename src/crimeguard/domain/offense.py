"""Offences in other codings than the LAPD's own: `nibrs:13A`, `iucr:0486`.

The coding is part of the value, so that rows of several codings may lie in one snapshot:
a model that lives through a change of coding is trained on both. `category:burglary` is an
offence of which only the category is known.

Sources
-------
nibrs_codes.csv
    The offence codes of the FBI's National Incident-Based Reporting System, Groups A and B
    (NIBRS User Manual). Ranks are in the order of the FBI's hierarchy rule for the old
    summary figures, as far as that goes; what it does not name stands behind it, offences
    against persons before those against property before the others. `+dv` marks an assault
    that the police flag as domestic violence. The categories are CrimeGuard's own: that of
    the LAPD code which says the same.
lapd_nibrs.csv
    The NIBRS offence that an LAPD crime code would be, in our own reading. It makes simulated
    rows of the new coding; no real row is recoded with it.
iucr_codes.csv
    Illinois Uniform Crime Reporting codes as the Chicago police use them (their list is data
    set c7ck-438e on data.cityofchicago.org), with their primary types.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Final

from crimeguard.domain.category import Category
from crimeguard.domain.codes import rows_of
from crimeguard.domain.repair import is_blank

NIBRS: Final = "nibrs"
IUCR: Final = "iucr"
CATEGORY: Final = "category"
CODINGS: Final = (NIBRS, IUCR, CATEGORY)
DOMESTIC: Final = "+dv"
_FORM: Final = re.compile(rf"({'|'.join(CODINGS)}):([0-9A-Za-z_+]{{1,30}})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Offense:
    """One offence of a coding; the lower its rank, the graver. Rank 0 is not ranked."""

    description: str
    category: Category
    rank: int = 0


@cache
def offenses() -> Mapping[str, Offense]:
    """Every offence of every coding, by `coding:code`."""
    table = {
        f"{NIBRS}:{row['code']}": Offense(
            row["description"], Category(row["category"]), int(row["rank"])
        )
        for row in rows_of("nibrs_codes")
    }
    for row in rows_of("iucr_codes"):
        text = f"{row['primary']}: {row['description']}"
        table[f"{IUCR}:{row['code']}"] = Offense(text, Category(row["category"]))
    for category in Category:
        table[f"{CATEGORY}:{category.value}"] = Offense(category.value, category)
    return MappingProxyType(table)


@cache
def nibrs_of_lapd() -> Mapping[int, str]:
    """Return the NIBRS code that an LAPD crime code would be, for the simulator."""
    return MappingProxyType({int(row["code"]): row["nibrs"] for row in rows_of("lapd_nibrs")})


def gravest(found: Iterable[str]) -> str | None:
    """Return the offence of the lowest rank; one in no table stands before all others.

    So a case with an unknown offence is seen by validation, and never passes for what
    else is in it. None if there is none.
    """
    ranked = [(_rank(offense), offense) for offense in found]
    return min(ranked)[1] if ranked else None


def _rank(offense: str) -> int:
    known = offenses().get(offense)
    return -1 if known is None else known.rank


def repair_offense(text: str) -> str | None:
    """Read `coding:code`, or nothing; whether a table knows the code, validation tells."""
    if is_blank(text):
        return None
    match = _FORM.fullmatch(text.strip())
    if not match:
        raise ValueError(f"is not an offence (CODING:CODE, CODING one of {', '.join(CODINGS)})")
    return match[0]


def repair_offenses(text: str) -> str | None:
    """Read several offences with blanks between them, as a sorted set."""
    if is_blank(text):
        return None
    return " ".join(sorted({str(repair_offense(part)) for part in text.split()}))
