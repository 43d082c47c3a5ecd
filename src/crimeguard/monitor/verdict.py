"""The verdict on one window: every component, the overall score, and what it comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from crimeguard.evaluate.reference import Reference
from crimeguard.monitor.component import Component
from crimeguard.monitor.drift import drift_components
from crimeguard.monitor.observed import Observed
from crimeguard.monitor.performance import (
    Performance,
    measure_performance,
    performance_components,
)
from crimeguard.train.params import MonitorParams

Status = Literal["too few", "ok", "warning", "critical"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a window says of the model; `performance` is None where nothing can be said."""

    rows: int
    labels: int
    first: str | None
    last: str | None
    components: tuple[Component, ...]
    performance: Performance | None
    params: MonitorParams

    @property
    def score(self) -> float:
        """The overall drift score: the largest of any component."""
        return max((item.score for item in self.components), default=0.0)

    @property
    def status(self) -> Status:
        """The overall status."""
        return self._status(self.components)

    @property
    def model_status(self) -> Status:
        """The status without the volume: fewer incidents are no reason to train again."""
        return self._status([item for item in self.components if item.kind != "volume"])

    @property
    def drifted(self) -> list[Component]:
        """The components that are critical, the largest score first."""
        found = [item for item in self.components if item.score > self.params.critical]
        return sorted(found, key=lambda item: -item.score)

    def _status(self, components: Sequence[Component]) -> Status:
        if self.performance is None:
            return "too few"
        score = max((item.score for item in components), default=0.0)
        if score > self.params.critical:
            return "critical"
        return "warning" if score > self.params.warning else "ok"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-able values, components by falling score."""
        bounds = (self.params.warning, self.params.critical)
        ranked = sorted(self.components, key=lambda item: (-item.score, item.name))
        return {
            "status": self.status, "model_status": self.model_status,
            "score": round(self.score, 4), "warning": bounds[0], "critical": bounds[1],
            "rows": self.rows, "labels": self.labels, "first": self.first, "last": self.last,
            "drifted": [item.name for item in self.drifted],
            "components": [item.to_dict(*bounds) for item in ranked],
            "performance": None if self.performance is None else self.performance.to_dict(),
        }  # fmt: skip


def judge_window(reference: Reference, observed: Observed, params: MonitorParams) -> Verdict:
    """Hold a window against the reference; below `min_rows` nothing is said."""
    days = observed.fields["date_occ"].drop_nulls()
    first, last = (str(day) if len(days) else None for day in (days.min(), days.max()))
    labels = len(observed.matured)
    if len(observed) < params.min_rows:
        return Verdict(len(observed), labels, first, last, (), None, params)
    performance = measure_performance(reference, observed)
    components = (
        *drift_components(reference, observed, volume=params.volume),
        *performance_components(performance),
    )
    return Verdict(len(observed), labels, first, last, components, performance, params)
