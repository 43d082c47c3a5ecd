"""The 15 target classes."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Category(StrEnum):
    """What a reported incident is, for the model."""

    VEHICLE_THEFT = "vehicle_theft"
    THEFT_FROM_VEHICLE = "theft_from_vehicle"
    BURGLARY = "burglary"
    THEFT = "theft"
    ROBBERY = "robbery"
    AGGRAVATED_ASSAULT = "aggravated_assault"
    SIMPLE_ASSAULT = "simple_assault"
    DOMESTIC_VIOLENCE = "domestic_violence"
    HOMICIDE_KIDNAPPING = "homicide_kidnapping"
    SEX_OFFENSE = "sex_offense"
    THREATS_HARASSMENT = "threats_harassment"
    FRAUD_IDENTITY_THEFT = "fraud_identity_theft"
    VANDALISM_ARSON = "vandalism_arson"
    COURT_ORDER_VIOLATION = "court_order_violation"
    PUBLIC_ORDER_OTHER = "public_order_other"


# The order of every probability vector in CrimeGuard.
CATEGORIES: Final[tuple[str, ...]] = tuple(category.value for category in Category)
