"""POST /predict."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from crimeguard.serve import openapi, single
from crimeguard.serve.answers import PredictionAnswer
from crimeguard.serve.body import read_body
from crimeguard.serve.negotiate import JSON
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
from crimeguard.serve.service import service_of

router = APIRouter(tags=["predict"])


@router.post(
    single.PATH,
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
    predictor = single.require_readable(service, request)
    body = await read_body(request, service.settings.max_body_bytes)

    asked, text = single.read(body)
    answered = await service.desk.answer(predictor, asked, text)
    return Response(single.written(service, answered, asked), media_type=JSON)
