"""The model card: what was measured, what the model is for, what it is not for.

Sections follow Mitchell et al. 2019, "Model cards for model reporting".
"""

from __future__ import annotations

from typing import Any, Final

from crimeguard.domain.category import CATEGORIES
from crimeguard.evaluate.evaluation import Evaluation, finite

INTENDED_USE: Final = (
    "Categorising incident reports, triage of unfiled reports, and finding reports that may be "
    "miscoded, by a records or open-data team that looks at what the model says."
)
NOT_FOR: Final = (
    "Ranking, scoring or forecasting places or people; deciding on patrols, stops, arrests, bail "
    "or anything else about a person. The service has no endpoint that could."
)
LIMITS: Final = (
    "The categories are those of the police report, with the biases of who reports and of who "
    "writes the report; the model repeats them. Probabilities are calibrated on incidents like "
    "those of the training window; when the data move, they are off until the model is trained "
    "again."
)


def model_card(
    evaluation: Evaluation,
    *,
    trained: dict[str, Any],
    params: dict[str, Any],
    data: dict[str, Any],
    test_sample: str = "all",
    importance_note: str = "rise in log-loss (nats) when the field is shuffled",
) -> dict[str, Any]:
    """Put together the card; every number in it was measured on the hold-out.

    `trained` says on what (first and last day, rows, and of how many they are a sample),
    `data` which snapshot, `test_sample` of how many the scored incidents are a sample.
    """
    card: dict[str, Any] = {
        "name": "crimeguard",
        "task": "category of one reported incident",
        "categories": list(CATEGORIES),
        "intended_use": INTENDED_USE,
        "not_for": NOT_FOR,
        "limits": LIMITS,
        "data": data,
        "trained": trained,
        "tested": {
            "first": evaluation.first.isoformat(),
            "last": evaluation.last.isoformat(),
            "rows": evaluation.rows,
            "sample": test_sample,
            "majority_share": evaluation.majority_share,
            "base_rate_log_loss": evaluation.base_rate_log_loss,
        },
        "levels": {
            label: {
                **item.scores.to_dict(),
                "coverage": item.coverage,
                "set_size": item.set_size,
            }
            for label, item in evaluation.levels.items()
        },
        "categories_at_best_level": [
            {"category": c.category, "support": c.support, "precision": c.precision,
             "recall": c.recall, "f1": c.f1, "roc_auc": c.roc_auc}
            for c in evaluation.best.categories
        ],
        "importance": {"how": importance_note, "fields": evaluation.importance},
        "params": params,
    }  # fmt: skip
    undefined: dict[str, Any] = finite(card)
    return undefined
