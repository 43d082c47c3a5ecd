"""Information levels: how much is known of an incident when a prediction is asked for."""

from __future__ import annotations

from collections.abc import Collection
from enum import IntEnum


class InformationLevel(IntEnum):
    """`CALL` is contained in `VICTIM`, which is contained in `REPORT`."""

    CALL = 0
    VICTIM = 1
    REPORT = 2

    @property
    def label(self) -> str:
        """The name used in files, requests and answers."""
        return self.name.lower()

    @classmethod
    def parse(cls, text: str) -> InformationLevel:
        """Read a level by its name; ValueError lists the names there are."""
        try:
            return cls[text.strip().upper()]
        except KeyError:
            names = ", ".join(level.label for level in cls)
            raise ValueError(f"is not an information level ({names})") from None


# What a level adds to the one below it. A field named in a record, even blank, was
# asked for; a field not named is not known. Both are different facts to the model.
VICTIM_FIELDS = frozenset({"date_rptd", "vict_age", "vict_sex", "vict_descent"})
REPORT_FIELDS = frozenset({"mocodes", "weapon_used_cd"})


def level_of(fields: Collection[str]) -> InformationLevel:
    """Return the highest level of which at least one field is named."""
    if not REPORT_FIELDS.isdisjoint(fields):
        return InformationLevel.REPORT
    if not VICTIM_FIELDS.isdisjoint(fields):
        return InformationLevel.VICTIM
    return InformationLevel.CALL
