"""The words of the console: categories, levels and sets as people say them."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from crimeguard.domain.field import BY_NAME, CANONICAL_NAMES
from crimeguard.domain.level import InformationLevel

CATEGORY_NAMES: Final = MappingProxyType(
    {
        "vehicle_theft": "Vehicle theft",
        "theft_from_vehicle": "Theft from vehicle",
        "burglary": "Burglary",
        "theft": "Theft",
        "robbery": "Robbery",
        "aggravated_assault": "Aggravated assault",
        "simple_assault": "Simple assault",
        "domestic_violence": "Domestic violence",
        "homicide_kidnapping": "Homicide or kidnapping",
        "sex_offense": "Sex offense",
        "threats_harassment": "Threats or harassment",
        "fraud_identity_theft": "Fraud or identity theft",
        "vandalism_arson": "Vandalism or arson",
        "court_order_violation": "Court order violation",
        "public_order_other": "Public order and other",
    }
)

LEVEL_NAMES: Final = MappingProxyType(
    {
        InformationLevel.CALL: "Call",
        InformationLevel.VICTIM: "Victim",
        InformationLevel.REPORT: "Report",
    }
)
LEVEL_MEANINGS: Final = MappingProxyType(
    {
        InformationLevel.CALL: "Only when, where and the premise were used. Expect a broad "
        "answer; adding the victim or the report's details sharpens it.",
        InformationLevel.VICTIM: "When, where, the premise and the victim were used. Adding the "
        "weapon or MO codes of the report sharpens the answer.",
        InformationLevel.REPORT: "Everything a written report holds was used: when, where, "
        "premise, victim, weapon and MO codes, as far as they were given.",
    }
)
FIELD_NAMES: Final = MappingProxyType(
    {
        "date_occ": "Date",
        "time_occ": "Time",
        "date_rptd": "Date reported",
        "area": "Police area",
        "rpt_dist_no": "Reporting district",
        "premis_cd": "Premise",
        "lat": "Latitude",
        "lon": "Longitude",
        "vict_age": "Victim age",
        "vict_sex": "Victim sex",
        "vict_descent": "Victim descent",
        "weapon_used_cd": "Weapon",
        "mocodes": "MO codes",
    }
)

# A no-break space, so that a figure and its sign stay on one line.
_PERCENT: Final = "\N{NO-BREAK SPACE}%"


def category_name(category: str) -> str:
    """Return a category's readable name; an unknown one is shown as it is."""
    return CATEGORY_NAMES.get(category, category.replace("_", " ").capitalize())


def field_name(name: str) -> str:
    """Return the readable name of a field, given under either spelling."""
    canonical = CANONICAL_NAMES.get(name, name)
    if canonical in FIELD_NAMES:
        return FIELD_NAMES[canonical]
    return BY_NAME[canonical].column if canonical in BY_NAME else name


def percent(share: float) -> str:
    """Write a probability for people: `87 %`, `0.4 %`; never a false 0 or 100."""
    if share <= 0 or share >= 1:
        return f"{share * 100:.0f}{_PERCENT}"
    if share < 0.001:
        return f"< 0.1{_PERCENT}"
    if share > 0.999:
        return f"> 99.9{_PERCENT}"
    digits = 1 if share < 0.0995 or share > 0.99 else 0
    return f"{share * 100:.{digits}f}{_PERCENT}"


def set_sentence(categories: Sequence[str]) -> str:
    """Say which categories the conformal set holds, as a sentence."""
    names = [category_name(category).lower() for category in categories]
    if not names:
        return "No category is likely enough to name: this incident is unlike the usual ones."
    if len(names) == 1:
        return f"Only {names[0]}."
    return f"One of {', '.join(names[:-1])} or {names[-1]}."


def coverage_sentence(coverage: float | None) -> str:
    """Say what a conformal set is worth: a share of incidents, not of this one."""
    if coverage is None:
        return "Such a set is made to hold the true category of most incidents."
    return f"When tested, such sets held the true category of {percent(coverage)} of incidents."


def count(number: int, one: str, many: str = "") -> str:
    """Write a number with its noun: `1 row`, `12,000 rows`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
