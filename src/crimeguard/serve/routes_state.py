"""GET /model, /health, /livez, /readyz and /metrics: how the service is."""

from __future__ import annotations

import time
from typing import Any

import orjson
from fastapi import APIRouter
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

import crimeguard
from crimeguard.serve import openapi
from crimeguard.serve.answers import CardAnswer, HealthAnswer, ProbeAnswer
from crimeguard.serve.follower import ALIAS
from crimeguard.serve.negotiate import JSON
from crimeguard.serve.problem import LEAVING, NO_MODEL
from crimeguard.serve.service import Service, service_of
from crimeguard.serve.slot import model_info

router = APIRouter(tags=["state"])


@router.get(
    "/model",
    summary="The model card",
    response_model=CardAnswer,
    responses=openapi.problems(NO_MODEL),
)
async def model(request: Request) -> Response:
    """Return what the model was trained on, how well it does, and what it must not be used for."""
    bundle = service_of(request).slot.require().bundle
    return _json({"model_info": model_info(bundle), "card": bundle.card})


@router.get(
    "/health",
    summary="How the service is",
    response_model=HealthAnswer,
    responses=openapi.problems(),
)
async def health(request: Request) -> Response:
    """Tell what is served and how the registry is followed; answers 200 while the server runs.

    Whether requests should be sent here is told by /readyz.
    """
    service = service_of(request)
    predictor = service.slot.current
    registry = _registry(service)
    status = "ok" if registry["state"] in ("fixed", "following") else "degraded"
    return _json(
        {
            "status": "starting" if predictor is None else status,
            "model_info": None if predictor is None else model_info(predictor.bundle),
            "uptime_seconds": round(time.monotonic() - service.began, 3),
            "registry": registry,
            "experiment": _experiment(service),
            "version": crimeguard.__version__,
        }
    )


@router.get(
    "/livez", summary="Is the process alive?", response_model=ProbeAnswer,
    responses=openapi.problems(),
)  # fmt: skip
async def livez() -> Response:
    """Answer 200 as long as the event loop turns."""
    return _json({"status": "alive"})


@router.get(
    "/readyz",
    summary="May requests be sent here?",
    response_model=ProbeAnswer,
    responses=openapi.problems(NO_MODEL, LEAVING),
)
async def readyz(request: Request) -> Response:
    """Answer 200 once a verified bundle is loaded, until the server is told to end."""
    service_of(request).require_ready()
    return _json({"status": "ready"})


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        **openapi.problems(),
    },
)
async def metrics(request: Request) -> Response:
    """Return counts and times in Prometheus' text format."""
    content = service_of(request).metrics.exposition()
    return Response(content, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _registry(service: Service) -> dict[str, Any]:
    if service.follower is None:
        return {"state": "fixed", "alias": None, "version": None, "refused": None,
                "looked_at": None}  # fmt: skip
    state = service.follower.state
    looked_at = None if state.looked_at is None else state.looked_at.isoformat()
    return {
        "state": state.state, "alias": ALIAS, "version": state.version,
        "refused": state.turned_away, "looked_at": looked_at,
    }  # fmt: skip


def _experiment(service: Service) -> dict[str, Any] | None:
    now = service.traffic.state
    if now.state == "none":
        return None
    found = now.experiment
    wanted = None if found is None else found.contest.wanted
    return {
        "state": now.state, "id": None if found is None else found.id,
        "mode": None if wanted is None else wanted.mode,
        "version": None if wanted is None else wanted.version,
    }  # fmt: skip


def _json(document: Any) -> Response:
    content = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(content, media_type=JSON)
