"""The first checks: what a model must show on its hold-out before it may serve.

They fail closed: a figure that is missing or not a number does not pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from crimeguard.domain.errors import GateRefusedError
from crimeguard.domain.level import InformationLevel
from crimeguard.evaluate.evaluation import Evaluation, finite
from crimeguard.train.params import CheckParams, params_from_dict


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


def run_checks(evaluation: Evaluation, params: CheckParams) -> list[Check]:
    """Hold an evaluation against the bounds of `params.yaml`."""
    levels = {
        label: {**item.scores.to_dict(), "coverage": item.coverage}
        for label, item in evaluation.levels.items()
    }
    return list(_checks(levels, evaluation.rows, evaluation.base_rate_log_loss, params))


def checks_of_card(card: Mapping[str, Any]) -> list[Check]:
    """Hold the scores of a model card against the bounds that it was trained under."""
    params = params_from_dict(card["params"], source="the model card").checks
    tested = _numbers(card["tested"])
    levels = {label: _numbers(scores) for label, scores in card["levels"].items()}
    return list(_checks(levels, tested["rows"], tested["base_rate_log_loss"], params))


def _numbers(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Read null as the NaN that it stands for in JSON."""
    return {name: math.nan if value is None else value for name, value in figures.items()}


def require(checks: list[Check]) -> None:
    """Raise GateRefusedError that names every check which did not pass."""
    refused = [check for check in checks if not check.passed]
    if refused or not checks:
        raise GateRefusedError(
            f"The model was refused by {len(refused)} of {len(checks)} checks.",
            why="; ".join(map(str, refused)) + ".",
            fix="It stays in staging. Train on more or better data, or change the bounds in "
            "params.yaml for a reason that you can state.",
        )


def _checks(
    levels: Mapping[str, Mapping[str, float]],
    rows: int,
    base_rate_log_loss: float,
    params: CheckParams,
) -> Iterator[Check]:
    yield Check("rows in the hold-out", rows, "at least", params.min_test_rows)
    yield Check("levels scored", len(levels), "at least", len(InformationLevel))
    # A card comes back from its file in the order of the alphabet.
    labels = [level.label for level in InformationLevel if level.label in levels]
    best = labels[-1]
    yield Check(
        f"macro ROC-AUC at {best}", levels[best]["macro_roc_auc"], "at least", params.min_macro_auc
    )
    for label in labels:
        scores = levels[label]
        gain = base_rate_log_loss - scores["log_loss"]
        yield Check(
            f"log-loss below the base rates at {label}", gain, "at least", params.min_log_loss_gain
        )
        yield Check(f"calibration error at {label}", scores["ece"], "at most", params.max_ece)
        yield Check(
            f"conformal coverage at {label}", scores["coverage"], "at least", params.min_coverage
        )
