"""One incident, whichever way it came: what is asked, and what is answered."""

from __future__ import annotations

from typing import Any, Final

import orjson
from starlette.requests import Request

from crimeguard.serve import incident
from crimeguard.serve.body import parse_json, refuse_announced, require_media_type
from crimeguard.serve.desk import Answered
from crimeguard.serve.negotiate import JSON
from crimeguard.serve.remember import as_received
from crimeguard.serve.service import Service
from crimeguard.serve.slot import Predicts, model_info

PATH: Final = "/predict"
Asked = tuple[Predicts, incident.Request, str]


def require_readable(service: Service, request: Request) -> Predicts:
    """Return who answers now; Problem if nobody does, or if the body need not be read."""
    predictor = service.slot.require()
    require_media_type(request, JSON)
    refuse_announced(request, service.settings.max_body_bytes)
    return predictor


def read(body: bytes) -> tuple[incident.Request, str]:
    """Return the incident, and what the log keeps of it; Problem if the body describes none."""
    record = parse_json(body)
    return incident.read_one(record), as_received(record)


def written(service: Service, answered: Answered, asked: incident.Request) -> bytes:
    """Count a prediction, and return it as JSON."""
    made = answered.prediction
    service.metrics.count_predictions(made.category, made.level.label, variant=answered.by.variant)
    return orjson.dumps(_document(answered, asked.ignored))


def _document(answered: Answered, ignored: tuple[str, ...]) -> dict[str, Any]:
    prediction = answered.prediction
    return {
        "prediction": prediction.category,
        "confidence": prediction.confidence,
        "probabilities": prediction.probabilities,
        "prediction_set": prediction.prediction_set,
        "information_level": prediction.level.label,
        "model_info": model_info(answered.by.predictor.bundle),
        "variant": answered.by.variant,
        "prediction_id": answered.identifier,
        "ignored_fields": ignored,
    }
