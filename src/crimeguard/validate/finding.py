"""What a check found: how much, where, what it means and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """An error stops the pipeline; a warning is a reason to look."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One offending row: its position (data rows counted from 1), its number, its value."""

    row: int | None
    dr_no: str | None
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A check that fired.

    `count` rows (or columns, or months: the meaning says which) are concerned, a
    `share` of 0 to 1 of all that were checked. `evidence` holds the first of them,
    `values` the commonest offending values with the number of times each occurs.
    """

    check: str
    severity: Severity
    count: int
    share: float
    meaning: str
    fix: str
    evidence: tuple[Evidence, ...] = ()
    values: tuple[tuple[str, int], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON types."""
        return {
            "check": self.check,
            "severity": self.severity.value,
            "count": self.count,
            "share": self.share,
            "meaning": self.meaning,
            "fix": self.fix,
            "evidence": [
                {"row": item.row, "dr_no": item.dr_no, "value": item.value}
                for item in self.evidence
            ],
            "values": [{"value": value, "count": count} for value, count in self.values],
        }
