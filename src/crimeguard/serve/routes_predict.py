"""POST /predict."""

from __future__ import annotations

from typing import Any, Final

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from crimeguard.domain.prediction import Prediction
from crimeguard.records.entry import Entry
from crimeguard.serve import incident, openapi
from crimeguard.serve.answers import PredictionAnswer
from crimeguard.serve.body import parse_json, read_body, require_media_type
from crimeguard.serve.problem import (
    BAD_INCIDENT,
    BUSY,
    NO_LOG,
    NO_MODEL,
    NOT_JSON,
    TOO_LARGE,
    WRONG_TYPE,
)
from crimeguard.serve.remember import remember, single_entry
from crimeguard.serve.service import service_of
from crimeguard.serve.slot import Served, model_info

router = APIRouter(tags=["predict"])

_JSON: Final = "application/json"


@router.post(
    "/predict",
    summary="Predict one incident",
    response_model=PredictionAnswer,
    responses=openapi.problems(
        NOT_JSON, TOO_LARGE, WRONG_TYPE, BAD_INCIDENT, NO_MODEL, BUSY, NO_LOG
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

    def job() -> tuple[bytes, Prediction, Entry]:
        record = parse_json(body)
        asked = incident.read_one(record)
        prediction = predictor.predict([asked.incident])[0]
        row = single_entry(prediction, predictor.bundle.sha256, record, asked.dr_no)
        document = _single(prediction, predictor.bundle, asked.ignored, row.id)
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY), prediction, row

    content, prediction, row = await service.singles.run(job)
    await remember(service.log, row)
    service.metrics.count_predictions(prediction.category, prediction.level.label)
    return Response(content, media_type=_JSON)


def _single(
    prediction: Prediction, bundle: Served, ignored: tuple[str, ...], identifier: str
) -> dict[str, Any]:
    return {
        "prediction": prediction.category,
        "confidence": prediction.confidence,
        "probabilities": dict(prediction.probabilities),
        "prediction_set": prediction.prediction_set,
        "information_level": prediction.level.label,
        "model_info": model_info(bundle),
        "prediction_id": identifier,
        "ignored_fields": ignored,
    }
