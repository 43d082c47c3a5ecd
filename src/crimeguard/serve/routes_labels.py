"""POST /labels: what a prediction should have been."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from crimeguard.domain.errors import RecordsError
from crimeguard.records.labels import Added, Label, add_labels, settle
from crimeguard.records.prediction_log import PredictionLog
from crimeguard.serve import openapi
from crimeguard.serve.answers import LabelsAnswer
from crimeguard.serve.body import parse_json, read_body, require_media_type
from crimeguard.serve.negotiate import JSON
from crimeguard.serve.problem import (
    BAD_LABEL,
    BUSY,
    MOST_FLAWS,
    NO_LOG,
    NO_PREDICTION,
    NOT_JSON,
    TOO_LARGE,
    WRONG_TYPE,
    Flaw,
    Problem,
    pointer,
)
from crimeguard.serve.remember import no_log
from crimeguard.serve.service import service_of

router = APIRouter(tags=["labels"])

MOST_LABELS: Final = 10_000  # in one request
_BODIES: Final = 10  # a list may be so many times larger than one incident's body
_SOURCE: Final = "api"
_IDENTIFIER: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_FIELDS: Final = ("prediction_id", "category", "crm_cd")


@router.post(
    "/labels",
    summary="Tell what predictions should have been",
    response_model=LabelsAnswer,
    responses=openapi.problems(
        NOT_JSON, TOO_LARGE, WRONG_TYPE, BAD_LABEL, NO_PREDICTION, BUSY, NO_LOG
    ),
    openapi_extra={"requestBody": openapi.LABELS_BODY},
)
async def labels(request: Request) -> Response:
    """Store the true category of one logged prediction, or of many.

    A label has the `prediction_id` of an answer and a `category`, a crime code (`crm_cd`),
    or both if they agree. Of several for one prediction the newest holds. If one label of a
    list cannot be used, none is stored.
    """
    service = service_of(request)
    require_media_type(request, JSON)
    body = await read_body(request, service.settings.max_body_bytes * _BODIES)
    log = service.log
    if log is None:
        raise no_log()
    added = await service.labels.run(lambda: _store(log, parse_json(body)))
    service.metrics.count_labels(added.accepted, added.unchanged)
    document = {"accepted": added.accepted, "unchanged": added.unchanged}
    return Response(orjson.dumps(document), media_type=JSON)


def _store(log: PredictionLog, document: Any) -> Added:
    found = read_labels(document)
    try:
        added = add_labels(log.database, found)
    except RecordsError:
        raise no_log() from None
    if added.unknown:
        raise _unknown(found, set(added.unknown), alone=isinstance(document, dict))
    return added


def read_labels(document: Any) -> list[Label]:
    """Read one label or a list of them; Problem points at everything that is wrong."""
    if isinstance(document, list):
        if not 1 <= len(document) <= MOST_LABELS:
            raise _refusal([Flaw("", f"must hold 1 to {MOST_LABELS:,} labels.")])
        read = [_read(record, place) for place, record in enumerate(document)]
    else:
        read = [_read(document)]
    flaws = [flaw for item in read if not isinstance(item, Label) for flaw in item]
    if flaws:
        raise _refusal(flaws)
    return [item for item in read if isinstance(item, Label)]


def _read(record: Any, *prefix: int) -> Label | list[Flaw]:
    if not isinstance(record, dict):
        return [Flaw(pointer(*prefix), "must be an object with a prediction_id and a category.")]
    flaws = [
        Flaw(pointer(*prefix, key[:80]), f"is not a field of a label: {', '.join(_FIELDS)}.")
        for key in record
        if key not in _FIELDS
    ]
    flaws += [Flaw(pointer(*prefix, name), reason) for name, reason in _shapes(record)]
    if flaws:
        return flaws[:MOST_FLAWS]
    category, crm_cd = record.get("category"), record.get("crm_cd")
    try:
        settled = settle(category, crm_cd)
    except ValueError as error:
        name = "crm_cd" if crm_cd is not None else "category"
        return [Flaw(pointer(*prefix, name), f"{error}.")]
    return Label(record["prediction_id"], settled, crm_cd, _SOURCE)


def _shapes(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name the fields that hold something else than they should, and why."""
    identifier, category, code = (record.get(name) for name in _FIELDS)
    found = []
    if not (isinstance(identifier, str) and _IDENTIFIER.fullmatch(identifier)):
        found.append(("prediction_id", "must be the prediction_id of an answer: 32 hex digits."))
    if not (category is None or isinstance(category, str)):
        found.append(("category", "must be the name of a category."))
    if not (code is None or (isinstance(code, int) and not isinstance(code, bool))):
        found.append(("crm_cd", "must be a crime code, a whole number."))
    return found


def _refusal(flaws: Sequence[Flaw]) -> Problem:
    return Problem(BAD_LABEL, "The body does not describe labels; `errors` says where.",
                   flaws=flaws)  # fmt: skip


def _unknown(labels: Sequence[Label], unknown: set[str], *, alone: bool) -> Problem:
    places = [place for place, label in enumerate(labels) if label.prediction_id in unknown]
    flaws = [
        Flaw(pointer(*(() if alone else (place,)), "prediction_id"), "is not in the log.")
        for place in places
    ]
    text = f"{len(places):,} of {len(labels):,} labels are for predictions that are not in the log."
    return Problem(NO_PREDICTION, f"{text} None was stored.", flaws=flaws)
