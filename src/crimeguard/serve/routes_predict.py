"""POST /predict."""

from __future__ import annotations

from typing import Any, Final

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from crimeguard.serve import incident, openapi
from crimeguard.serve.answers import PredictionAnswer
from crimeguard.serve.body import parse_json, read_body, require_media_type
from crimeguard.serve.desk import Answered
from crimeguard.serve.problem import (
    BAD_INCIDENT,
    BUSY,
    NO_LOG,
    NO_MODEL,
    NOT_JSON,
    TOO_LARGE,
    TOO_LATE,
    WRONG_TYPE,
)
from crimeguard.serve.remember import as_received
from crimeguard.serve.service import service_of
from crimeguard.serve.slot import model_info

router = APIRouter(tags=["predict"])

PATH: Final = "/predict"
_JSON: Final = "application/json"


@router.post(
    PATH,
    summary="Predict one incident",
    response_model=PredictionAnswer,
    responses=openapi.problems(
        NOT_JSON, TOO_LARGE, WRONG_TYPE, BAD_INCIDENT, NO_MODEL, BUSY, NO_LOG, TOO_LATE
    ),
    openapi_extra={"requestBody": openapi.SINGLE_BODY},
)
async def predict(request: Request) -> Response:
    """Return the category of one reported incident, with a probability for each category.

    Keys are the headings of the portal's export or the names of its API. Any field may be
    missing but when and where.
    """
    service = service_of(request)
    predictor = service.slot.require()
    require_media_type(request, _JSON)
    body = await read_body(request, service.settings.max_body_bytes)

    record = parse_json(body)
    asked = incident.read_one(record)
    answered = await service.desk.answer(predictor, asked, as_received(record))
    made = answered.prediction
    service.metrics.count_predictions(made.category, made.level.label, variant=answered.by.variant)
    return Response(orjson.dumps(_document(answered, asked.ignored)), media_type=_JSON)


def _document(answered: Answered, ignored: tuple[str, ...]) -> dict[str, Any]:
    prediction = answered.prediction
    return {
        "prediction": prediction.category,
        "confidence": prediction.confidence,
        "probabilities": dict(prediction.probabilities),
        "prediction_set": prediction.prediction_set,
        "information_level": prediction.level.label,
        "model_info": model_info(answered.by.predictor.bundle),
        "variant": answered.by.variant,
        "prediction_id": answered.identifier,
        "ignored_fields": ignored,
    }
