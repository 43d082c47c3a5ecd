"""/v2: the Open Inference Protocol, for KServe and its clients; the same core as /predict."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

import crimeguard
from crimeguard.serve import openapi, tensors
from crimeguard.serve.answers import (
    InferAnswer,
    LiveAnswer,
    ModelMetadataAnswer,
    ModelReadyAnswer,
    ReadyAnswer,
    ServerMetadataAnswer,
)
from crimeguard.serve.batch import Scored
from crimeguard.serve.body import read_body, require_media_type
from crimeguard.serve.keeping import answered, run_batch
from crimeguard.serve.negotiate import JSON
from crimeguard.serve.problem import (
    BAD_INCIDENT,
    BAD_TENSOR,
    BUSY,
    LEAVING,
    NO_LOG,
    NO_MODEL,
    NOT_FOUND,
    NOT_JSON,
    TOO_LARGE,
    TOO_LATE,
    TOO_SLOW,
    WRONG_TYPE,
    Problem,
)
from crimeguard.serve.service import service_of
from crimeguard.serve.slot import Predicts
from crimeguard.serve.workers import gone_away

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])

_BODIES: Final = 10  # a request may be so many times larger than one incident's body
# Larger requests wait their turn behind the batches; these are scored like single incidents.
_SMALL: Final = 64_000
_MODEL: Final = "/models/crimeguard"
_VERSION: Final = _MODEL + "/versions/{version}"


@router.get(
    "", summary="The server", response_model=ServerMetadataAnswer, responses=openapi.problems()
)
async def server() -> Response:
    """Return name and version of this server; the extensions of the protocol are not spoken."""
    return _json({"name": "crimeguard", "version": crimeguard.__version__, "extensions": []})


@router.get(
    "/health/live", summary="Is the process alive?", response_model=LiveAnswer,
    responses=openapi.problems(),
)  # fmt: skip
async def live() -> Response:
    """Answer 200 as long as the event loop turns."""
    return _json({"live": True})


@router.get(
    "/health/ready", summary="May requests be sent here?", response_model=ReadyAnswer,
    responses=openapi.problems(NO_MODEL, LEAVING),
)  # fmt: skip
async def ready(request: Request) -> Response:
    """Answer 200 once a verified bundle is loaded, until the server is told to end."""
    service_of(request).require_ready()
    return _json({"ready": True})


@router.get(_VERSION, include_in_schema=False)
@router.get(
    _MODEL, summary="The model's tensors", response_model=ModelMetadataAnswer,
    responses=openapi.problems(NO_MODEL),
)  # fmt: skip
async def metadata(request: Request) -> Response:
    """Return the tensors of the model.

    Each field of an incident may also be a tensor of its own, named as in `POST /predict`.
    `probabilities` and `prediction_set` have a column for each of `categories`.
    """
    bundle = _served(request).bundle
    return _json({"name": bundle.name, "versions": [str(bundle.version)],
                  "platform": "crimeguard", **tensors.describe()})  # fmt: skip


@router.get(_VERSION + "/ready", include_in_schema=False)
@router.get(
    _MODEL + "/ready", summary="Is the model loaded?", response_model=ModelReadyAnswer,
    responses=openapi.problems(NO_MODEL),
)  # fmt: skip
async def model_ready(request: Request) -> Response:
    """Answer 200 once a verified bundle is loaded."""
    return _json({"name": _served(request).bundle.name, "ready": True})


@router.post(_VERSION + "/infer", include_in_schema=False)
@router.post(
    _MODEL + "/infer",
    summary="Predict incidents given as tensors",
    response_model=InferAnswer,
    responses=openapi.problems(
        NOT_JSON,
        TOO_LARGE,
        WRONG_TYPE,
        BAD_TENSOR,
        BAD_INCIDENT,
        NO_MODEL,
        BUSY,
        NO_LOG,
        TOO_SLOW,
        TOO_LATE,
    ),
    openapi_extra={"requestBody": openapi.INFER_BODY},
)
async def infer(request: Request) -> Response:
    """Predict incidents, each a JSON object in the tensor `incident`, or a tensor a field.

    Tensors are of shape [n] or [n, 1] with their data in the JSON; binary data are not read.
    Answered are all outputs, or those that `outputs` names.
    """
    service = service_of(request)
    predictor = _served(request)
    _require_json(request)
    body = await read_body(request, service.settings.max_body_bytes * _BODIES)
    workers = service.singles if len(body) <= _SMALL else service.batches

    def job(check: Callable[[], None]) -> tuple[bytes, Scored]:
        asked = tensors.read(body)
        scored = answered(asked.batch, predictor, service.log, check)
        document = tensors.answer(asked, scored)
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY), scored

    content, scored = await run_batch(
        workers, job, seconds=service.settings.batch_deadline_seconds,
        gone=partial(gone_away, request),
    )  # fmt: skip
    service.metrics.count_batch(scored.rows)
    for category, level, number in scored.counts():
        service.metrics.count_predictions(category, level, number)
    return Response(content, media_type=JSON)


def _served(request: Request) -> Predicts:
    """Return what is in service; Problem (404) if the path asks for another version."""
    predictor = service_of(request).slot.require()
    asked = request.path_params.get("version")
    if asked not in (None, str(predictor.bundle.version)):
        raise Problem(NOT_FOUND, f"In service is version {predictor.bundle.version!r}.")
    return predictor


def _require_json(request: Request) -> None:
    """Refuse what is not sent as JSON; the protocol's own client names no type at all.

    A browser can be made to send a body without a type to other sites, but then it says so
    with Origin.
    """
    if "content-type" in request.headers or "origin" in request.headers:
        require_media_type(request, JSON)
    if "inference-header-content-length" in request.headers:
        raise Problem(WRONG_TYPE, "Binary tensors are not read here; send the data in the JSON "
                      "(tritonclient: binary_data=False).")  # fmt: skip


def _json(document: Any) -> Response:
    return Response(orjson.dumps(document), media_type=JSON)
