from __future__ import annotations

import json
from dataclasses import replace

from crimeguard.domain.category import CATEGORIES
from crimeguard.evaluate.card import INTENDED_USE, LIMITS, NOT_FOR, model_card
from crimeguard.pipeline import Trained


def test_the_card_of_a_bundle_says_what_was_measured(trained: Trained) -> None:
    card, found = trained.bundle.card, trained.evaluation
    for label, item in found.levels.items():
        assert card["levels"][label]["accuracy"] == item.scores.accuracy
        assert card["levels"][label]["ece"] == item.scores.ece
        assert card["levels"][label]["coverage"] == item.coverage
        assert card["levels"][label]["set_size"] == item.set_size
    assert card["tested"]["rows"] == found.rows
    assert card["tested"]["first"] == found.first.isoformat()
    assert card["tested"]["base_rate_log_loss"] == found.base_rate_log_loss
    assert card["importance"]["fields"] == found.importance
    assert [item["category"] for item in card["categories_at_best_level"]] == list(CATEGORIES)
    assert card["categories_at_best_level"][0]["support"] == found.best.categories[0].support


def test_the_card_says_on_what_it_was_trained(trained: Trained) -> None:
    card = trained.bundle.card
    assert card["trained"]["last"] == trained.split.train_until.isoformat()
    assert card["trained"]["rows"] == trained.split.train.height
    assert card["trained"]["last"] < card["tested"]["first"]
    assert len(card["data"]["snapshot"]) == 16
    assert card["params"]["xgboost"]["rounds"] > 0


def test_the_card_says_what_the_model_is_not_for(trained: Trained) -> None:
    card = trained.bundle.card
    assert (card["intended_use"], card["not_for"], card["limits"]) == (
        INTENDED_USE, NOT_FOR, LIMITS,
    )  # fmt: skip
    assert "places or people" in NOT_FOR


def test_what_is_not_defined_is_null(trained: Trained) -> None:
    found = trained.evaluation
    item = found.levels["report"]
    scores = replace(item.scores, macro_roc_auc=float("nan"))
    bad = replace(found, levels={**found.levels, "report": replace(item, scores=scores)})
    card = model_card(bad, trained={"last": "2023-02-28"}, params={}, data={})
    assert json.loads(json.dumps(card, allow_nan=False)) == card
    assert card["levels"]["report"]["macro_roc_auc"] is None
    assert card["levels"]["call"]["macro_roc_auc"] == found.levels["call"].scores.macro_roc_auc
