"""POST /predict/batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from fastapi import APIRouter
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from crimeguard.domain.level import InformationLevel
from crimeguard.serve import openapi
from crimeguard.serve.answers import BatchAnswer
from crimeguard.serve.batch import Batch
from crimeguard.serve.body import (
    limited,
    parse_json,
    read_body,
    refuse_announced,
    require_media_type,
)
from crimeguard.serve.encode import FORMS
from crimeguard.serve.keeping import answered, run_batch
from crimeguard.serve.listed import read_list
from crimeguard.serve.negotiate import JSON, chosen_form
from crimeguard.serve.problem import (
    BAD_FILE,
    BAD_FORM,
    BAD_INCIDENT,
    BAD_QUERY,
    BUSY,
    NO_LOG,
    NO_MODEL,
    NOT_ACCEPTABLE,
    NOT_JSON,
    TOO_LARGE,
    TOO_LATE,
    TOO_SLOW,
    WRONG_TYPE,
    Flaw,
    Problem,
)
from crimeguard.serve.service import service_of
from crimeguard.serve.upload import SUFFIX_OF_TYPE, file_name, read_upload
from crimeguard.serve.workers import gone_away
from crimeguard.settings import Settings

router = APIRouter(tags=["predict"])

_LIST_BODIES: Final = 10  # a list may be so many times larger than one incident's body
_FORM: Final = "multipart/form-data"


@router.post(
    "/predict/batch",
    summary="Predict many incidents",
    response_model=BatchAnswer,
    responses={
        200: {"content": openapi.TABLES},
        **openapi.problems(
            NOT_JSON, BAD_FORM, TOO_LARGE, WRONG_TYPE, BAD_INCIDENT, BAD_FILE, BAD_QUERY,
            NO_MODEL, BUSY, NO_LOG, TOO_SLOW, TOO_LATE, NOT_ACCEPTABLE,
        ),
    },
    openapi_extra={
        "requestBody": openapi.BATCH_BODY,
        "parameters": [openapi.LEVEL_PARAMETER, openapi.ACCEPT_PARAMETER],
    },
)  # fmt: skip
async def predict_batch(request: Request) -> Response:
    """Predict a JSON list of incidents, or a file in the portal's 28-column form.

    The file is the field `file` of a multipart form, or the bare body: CSV, CSV.gz, Parquet
    or Arrow. The answer is JSON, or by `Accept` a table as CSV, Parquet or an Arrow stream:
    `DR_NO`, `prediction_id`, `prediction`, `confidence`, `prediction_set`,
    `information_level`, and `p_` with each of the 15 categories. A file with a value that
    cannot be understood is refused as a whole; what is answered is in the log as a whole.
    """
    service = service_of(request)
    predictor = service.slot.require()
    level = _level(request)
    form = chosen_form(request, tuple(FORMS))
    read = await _reader(request, service.settings, level)

    scored = await run_batch(
        service.batches, lambda check: answered(read(), predictor, service.log, check),
        seconds=service.settings.batch_deadline_seconds, gone=partial(gone_away, request),
    )  # fmt: skip
    service.metrics.count_batch(scored.rows)
    for category, label, number in scored.counts():
        service.metrics.count_predictions(category, label, number)
    return StreamingResponse(FORMS[form](scored), media_type=form)


def _level(request: Request) -> InformationLevel | None:
    text = request.query_params.get("level")
    if text is None:
        return None
    try:
        return InformationLevel.parse(text)
    except ValueError:
        names = ", ".join(level.label for level in InformationLevel)
        raise Problem(BAD_QUERY, f"The parameter `level` is one of {names}.") from None


async def _reader(
    request: Request, settings: Settings, level: InformationLevel | None
) -> Callable[[], Batch]:
    """Take in the body, and return what turns it into a batch in a thread."""
    kind = require_media_type(request, JSON, _FORM, *SUFFIX_OF_TYPE)
    if kind == JSON:
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
