from typing import Any

import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.level import InformationLevel
from crimeguard.ui.answer import Answer, BatchAnswer, Card, Health, ModelInfo, UnreadableAnswerError
from tests.ui.fake_api import CARD, MODEL_INFO, answer_to


def test_an_answer_is_read_whole() -> None:
    answer = Answer.read(answer_to({"premis_cd": 108}) | {"model_info": MODEL_INFO})
    assert answer.category == "theft_from_vehicle"
    assert answer.prediction_set == ("theft_from_vehicle", "burglary")
    assert answer.level is InformationLevel.CALL
    assert tuple(answer.probabilities) == CATEGORIES
    assert answer.confidence == answer.probabilities["theft_from_vehicle"]
    assert answer.model == ModelInfo("crimeguard", "7", "ab" * 32)


@pytest.mark.parametrize(
    "damage",
    [
        {"prediction_set": None},
        {"information_level": "guess"},
        {"confidence": "high"},
        {"probabilities": {"theft": 1.0}},
        {"model_info": "crimeguard"},
    ],
)
def test_an_answer_of_another_form_is_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(UnreadableAnswerError):
        Answer.read(answer_to({}) | damage)


@pytest.mark.parametrize("body", [None, [], "ok", {}, {"predictions": "none"}])
def test_a_foreign_body_is_no_batch_answer(body: Any) -> None:
    with pytest.raises(UnreadableAnswerError):
        BatchAnswer.read(body)


def test_a_batch_answer_keeps_order_and_model() -> None:
    body = {"predictions": [answer_to({"premis_cd": "108"}), answer_to({})]}
    batch = BatchAnswer.read(body | {"model_info": MODEL_INFO})
    assert [answer.category for answer in batch.answers] == ["theft_from_vehicle", "theft"]
    assert batch.model.version == "7"


def test_health_may_lack_a_model_but_not_a_status() -> None:
    assert Health.read({"status": "starting", "model_info": None}).model is None
    with pytest.raises(UnreadableAnswerError, match="status"):
        Health.read({"message": "hello"})


def test_a_card_belongs_to_a_model() -> None:
    card = Card.read({"model_info": MODEL_INFO, "card": CARD})
    assert card.model.version == "7"
    assert card.card["trained"]["rows"] == 31500
    with pytest.raises(UnreadableAnswerError, match="card"):
        Card.read({"model_info": MODEL_INFO})


def test_a_title_says_name_and_version() -> None:
    assert ModelInfo("crimeguard", "7", "").title == "crimeguard, version 7"
    assert ModelInfo("crimeguard", "v7", "").title == "crimeguard, v7"
    assert ModelInfo("crimeguard", "", "").title == "crimeguard"
