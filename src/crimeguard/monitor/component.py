"""One thing that may have drifted: how far, against how far it may, and whether it is chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Kind = Literal["field", "correlation", "prediction", "target", "volume", "performance"]
Status = Literal["ok", "warning", "critical"]

# One in a thousand a component: with some thirty of them, false ones stay rare.
ALPHA: Final = 0.001


@dataclass(frozen=True, slots=True)
class Component:
    """A distance between reference and window, and what it takes to be critical.

    The score is d / (d + c): 0 where nothing moved, one half where `distance` d reaches
    `critical_distance` c, towards 1 beyond. What chance explains scores 0.
    """

    name: str
    kind: Kind
    distance: float
    critical_distance: float
    significant: bool
    words: str
    measures: Mapping[str, float] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """The drift score, 0 to 1."""
        if not self.significant or self.distance <= 0:
            return 0.0
        return self.distance / (self.distance + self.critical_distance)

    def status(self, warning: float, critical: float) -> Status:
        """Hold the score against the two thresholds."""
        if self.score > critical:
            return "critical"
        return "warning" if self.score > warning else "ok"

    def to_dict(self, warning: float, critical: float) -> dict[str, Any]:
        """Return everything as JSON-able values."""
        return {
            "name": self.name, "kind": self.kind, "score": round(self.score, 4),
            "status": self.status(warning, critical), "distance": round(self.distance, 5),
            "critical_distance": round(self.critical_distance, 5),
            "significant": self.significant, "words": self.words,
            "measures": {name: float(f"{value:.5g}") for name, value in self.measures.items()},
        }  # fmt: skip
