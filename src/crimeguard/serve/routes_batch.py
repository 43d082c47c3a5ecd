"""POST /predict/batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fastapi import APIRouter
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from crimeguard.domain.level import InformationLevel
from crimeguard.serve import openapi
from crimeguard.serve.answers import BatchAnswer
from crimeguard.serve.batch import Batch, Scored, as_csv, as_json, score
from crimeguard.serve.body import (
    limited,
    parse_json,
    read_body,
    refuse_announced,
    require_media_type,
)
from crimeguard.serve.listed import read_list
from crimeguard.serve.problem import (
    BAD_FILE,
    BAD_FORM,
    BAD_INCIDENT,
    BAD_QUERY,
    BUSY,
    NO_LOG,
    NO_MODEL,
    NOT_JSON,
    TOO_LARGE,
    WRONG_TYPE,
    Flaw,
    Problem,
)
from crimeguard.serve.remember import remember_batch
from crimeguard.serve.service import service_of
from crimeguard.serve.upload import SUFFIX_OF_TYPE, file_name, read_upload
from crimeguard.settings import Settings

router = APIRouter(tags=["predict"])

_LIST_BODIES: Final = 10  # a list may be so many times larger than one incident's body
_JSON: Final = "application/json"
_FORM: Final = "multipart/form-data"


@router.post(
    "/predict/batch",
    summary="Predict many incidents",
    response_model=BatchAnswer,
    responses={
        200: {"content": {"text/csv": {"schema": {"type": "string"}}}},
        **openapi.problems(
            NOT_JSON, BAD_FORM, TOO_LARGE, WRONG_TYPE, BAD_INCIDENT, BAD_FILE, BAD_QUERY,
            NO_MODEL, BUSY, NO_LOG,
        ),
    },
    openapi_extra={
        "requestBody": openapi.BATCH_BODY,
        "parameters": [openapi.LEVEL_PARAMETER, openapi.ACCEPT_PARAMETER],
    },
)  # fmt: skip
async def predict_batch(request: Request) -> Response:
    """Predict a JSON list of incidents, or a file in the portal's 28-column form.

    The file is the field `file` of a multipart form, or the bare body. The answer is JSON,
    or with `Accept: text/csv` a table: `DR_NO`, `prediction`, `confidence`,
    `information_level`, and `p_` with each of the 15 categories. A file with a value that
    cannot be understood is refused as a whole.
    """
    service = service_of(request)
    predictor = service.slot.require()
    level = _level(request)
    read = await _reader(request, service.settings, level)

    def job() -> Scored:
        scored = score(read(), predictor)
        remember_batch(service.log, scored)
        return scored

    scored = await service.batches.run(job)
    service.metrics.count_batch(scored.rows)
    for category, label, number in scored.counts():
        service.metrics.count_predictions(category, label, number)
    if _wants_csv(request):
        return StreamingResponse(as_csv(scored), media_type="text/csv")
    return StreamingResponse(as_json(scored), media_type=_JSON)


def _level(request: Request) -> InformationLevel | None:
    text = request.query_params.get("level")
    if text is None:
        return None
    try:
        return InformationLevel.parse(text)
    except ValueError:
        names = ", ".join(level.label for level in InformationLevel)
        raise Problem(BAD_QUERY, f"The parameter `level` is one of {names}.") from None


def _wants_csv(request: Request) -> bool:
    accepted = [part.partition(";")[0].strip() for part in
                request.headers.get("accept", "").lower().split(",")]  # fmt: skip
    return "text/csv" in accepted


async def _reader(
    request: Request, settings: Settings, level: InformationLevel | None
) -> Callable[[], Batch]:
    """Take in the body, and return what turns it into a batch in a thread."""
    kind = require_media_type(request, _JSON, _FORM, *SUFFIX_OF_TYPE)
    if kind == _JSON:
        body = await read_body(request, settings.max_body_bytes * _LIST_BODIES)
        return lambda: read_list(parse_json(body), level)
    if kind == _FORM:
        content, name = await _file_of_form(request, settings.max_upload_bytes)
    else:
        content, name = await read_body(request, settings.max_upload_bytes), file_name("", kind)
    return lambda: read_upload(
        content, name, most_bytes=settings.max_upload_bytes,
        most_rows=settings.max_batch_rows, level=level,
    )  # fmt: skip


async def _file_of_form(request: Request, limit: int) -> tuple[bytes, str]:
    refuse_announced(request, limit)
    bounded = Request(request.scope, limited(request.receive, limit))
    async with bounded.form(max_files=1, max_fields=8) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise Problem(BAD_FORM, "The form holds no file in the field `file`.",
                          flaws=[Flaw("/file", "is missing.")])  # fmt: skip
        kind = (file.content_type or "").partition(";")[0].strip().lower()
        return await file.read(), file_name(file.filename or "", kind)
