"""The first checks: what a model must show on its hold-out before it may serve.

They fail closed: a figure that is missing or not a number does not pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from crimeguard.domain.level import InformationLevel
from crimeguard.evaluate.evaluation import Evaluation, finite
from crimeguard.train.params import CheckParams


@dataclass(frozen=True, slots=True)
class Check:
    """One measured figure against its bound."""

    name: str
    value: float
    kind: Literal["at least", "at most"]
    bound: float

    @property
    def passed(self) -> bool:
        """Whether the figure keeps its bound; NaN keeps none."""
        return self.value >= self.bound if self.kind == "at least" else self.value <= self.bound

    def __str__(self) -> str:
        return f"{self.name} is {self.value:.4g}, must be {self.kind} {self.bound:.4g}"

    def to_dict(self) -> dict[str, Any]:
        """Return figure, bound and verdict."""
        plain: dict[str, Any] = finite({**asdict(self), "passed": self.passed})
        return plain


@dataclass(frozen=True, slots=True)
class Figures:
    """What the checks look at; scores by level, in the order of the levels."""

    levels: Mapping[str, Mapping[str, float]]
    rows: int
    base_rate_log_loss: float

    @classmethod
    def of(cls, evaluation: Evaluation) -> Figures:
        """Take the figures of an evaluation."""
        levels = {
            label: {**item.scores.to_dict(), "coverage": item.coverage}
            for label, item in evaluation.levels.items()
        }
        return cls(levels, evaluation.rows, evaluation.base_rate_log_loss)


def run_checks(evaluation: Evaluation, params: CheckParams) -> list[Check]:
    """Hold an evaluation against the bounds of `params.yaml`."""
    figures = Figures.of(evaluation)
    return [check for find in CHECKS.values() for check in find(figures, params)]


def _floor(figures: Figures, params: CheckParams) -> Iterator[Check]:
    levels = figures.levels
    yield Check("rows in the hold-out", figures.rows, "at least", params.min_test_rows)
    yield Check("levels scored", len(levels), "at least", len(InformationLevel))
    best = list(levels)[-1]
    yield Check(
        f"macro ROC-AUC at {best}", levels[best]["macro_roc_auc"], "at least", params.min_macro_auc
    )
    for label, scores in levels.items():
        gain = figures.base_rate_log_loss - scores["log_loss"]
        yield Check(
            f"log-loss below the base rates at {label}", gain, "at least", params.min_log_loss_gain
        )


def _calibration(figures: Figures, params: CheckParams) -> Iterator[Check]:
    for label, scores in figures.levels.items():
        yield Check(f"calibration error at {label}", scores["ece"], "at most", params.max_ece)


def _coverage(figures: Figures, params: CheckParams) -> Iterator[Check]:
    for label, scores in figures.levels.items():
        yield Check(
            f"conformal coverage at {label}", scores["coverage"], "at least", params.min_coverage
        )


# The checks of an evaluation, by the gate that they belong to.
CHECKS: Final[Mapping[str, Callable[[Figures, CheckParams], Iterator[Check]]]] = {
    "floor": _floor,
    "calibration": _calibration,
    "coverage": _coverage,
}
