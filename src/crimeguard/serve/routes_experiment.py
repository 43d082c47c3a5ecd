"""POST, GET and DELETE /experiment: a challenger beside the champion."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from crimeguard.domain.errors import NoVersionError, RecordsError, RegistryError, UsageError
from crimeguard.records.database import Database
from crimeguard.records.ledger import Ledger
from crimeguard.registry import experiments
from crimeguard.registry.contest import contest_of
from crimeguard.registry.experiments import Experiment, ExperimentError
from crimeguard.serve import openapi
from crimeguard.serve.answers_experiment import ExperimentStatus
from crimeguard.serve.audit import LOOPBACK
from crimeguard.serve.body import parse_json, read_body, require_media_type
from crimeguard.serve.experiment_body import EXPERIMENT_BODY, Asked, read_asked
from crimeguard.serve.negotiate import JSON
from crimeguard.serve.problem import (
    BAD_EXPERIMENT,
    BAD_QUERY,
    BUSY,
    CONFLICT,
    NO_LOG,
    NO_MODEL,
    NO_REGISTRY,
    NOT_JSON,
    TOO_LARGE,
    WRONG_TYPE,
    Flaw,
    Problem,
)
from crimeguard.serve.remember import no_log
from crimeguard.serve.service import Service, service_of

router = APIRouter(tags=["experiment"])

_LONGEST_WHY: Final = 500
_WHY_PARAMETER: Final = {
    "name": "why", "in": "query", "required": False, "description": "For the ledger.",
    "schema": {"type": "string", "maxLength": _LONGEST_WHY},
}  # fmt: skip


@router.get(
    "/experiment",
    summary="The experiment that runs, or ran last",
    response_model=ExperimentStatus,
    responses=openapi.problems(BUSY, NO_LOG),
)
async def status(request: Request) -> Response:
    """Count its predictions, and test what the labels that are mature by now say.

    A sequential test may be asked for as often as one likes.
    """
    service = service_of(request)
    database = _database(service)
    return await service.experiments.run(lambda: _status(service, database))


@router.post(
    "/experiment",
    summary="Start an experiment",
    status_code=201,
    response_model=ExperimentStatus,
    responses=openapi.problems(
        NOT_JSON, TOO_LARGE, WRONG_TYPE, BAD_EXPERIMENT, CONFLICT, NO_MODEL, NO_REGISTRY, BUSY,
        NO_LOG,
    ),
    openapi_extra={"requestBody": EXPERIMENT_BODY},
)  # fmt: skip
async def start(request: Request) -> Response:
    """Put a registered version beside the model in service.

    It begins in each process as soon as that has fetched and verified the challenger. One
    experiment runs at a time.
    """
    service = service_of(request)
    require_media_type(request, JSON)
    body = await read_body(request, service.settings.max_body_bytes)
    asked = read_asked(parse_json(body))
    database = _database(service)
    champion = service.slot.require().bundle.sha256
    who, request_id = _who(request), _request_id(request)

    def job() -> Response:
        _start(service, database, asked, champion, who, request_id)
        return _status(service, database, code=201)

    return await service.experiments.run(job)


@router.delete(
    "/experiment",
    summary="Stop the experiment",
    response_model=ExperimentStatus,
    responses=openapi.problems(CONFLICT, BAD_QUERY, BUSY, NO_LOG),
    openapi_extra={"parameters": [_WHY_PARAMETER]},
)
async def stop(request: Request) -> Response:
    """Let the champion answer everything again; what was found so far is in the ledger.

    Other processes follow within CRIMEGUARD_FOLLOW_SECONDS.
    """
    service = service_of(request)
    database = _database(service)
    why = request.query_params.get("why", "").strip() or "by the API"
    if len(why) > _LONGEST_WHY:
        raise Problem(BAD_QUERY, f"The parameter `why` has at most {_LONGEST_WHY} letters.")
    who, request_id = _who(request), _request_id(request)

    def job() -> Response:
        _stop(service, database, who, why, request_id)
        return _status(service, database)

    return await service.experiments.run(job)


def _start(
    service: Service, database: Database, asked: Asked, champion: str, who: str, request_id: str
) -> None:
    with _in_words():
        contest = contest_of(service.traffic.registry(), asked.wanted, champion)
        experiments.start(Ledger(database), contest, asked.plan, who=who, why=asked.why,
                          request_id=request_id)  # fmt: skip


def _stop(service: Service, database: Database, who: str, why: str, request_id: str) -> None:
    with _in_words():
        ledger = Ledger(database)
        running = experiments.running(ledger)
        found = None if running is None else _look(database, running).finding
        only = None if running is None else running.id
        stopped = experiments.stop(ledger, who=who, why=why, only=only, finding=found,
                                   request_id=request_id)  # fmt: skip
    service.traffic.end(stopped.id)


def _status(service: Service, database: Database, *, code: int = 200) -> Response:
    with _in_words():
        known = experiments.experiments(Ledger(database))
        newest = known[-1] if known else None
        document = {
            "running": newest is not None and newest.stopped is None,
            "state": service.traffic.state.state,
            "experiment": None if newest is None else _look(database, newest).to_dict(),
        }
    return Response(orjson.dumps(document), code, media_type=JSON)


def _look(database: Database, experiment: Experiment) -> experiments.Look:
    return experiments.look(database, experiment, dt.datetime.now(dt.UTC))


@contextmanager
def _in_words() -> Iterator[None]:
    """Turn our own errors into problems; no text of a library comes through."""
    try:
        yield
    except ExperimentError as error:
        raise Problem(CONFLICT, f"{error.what} {error.why}") from None
    except (NoVersionError, UsageError) as error:
        flaws = [Flaw("/version", error.what)]
        raise Problem(BAD_EXPERIMENT, f"{error.what} {error.why}".strip(), flaws=flaws) from None
    except RegistryError:
        raise Problem(NO_REGISTRY, "The model registry does not answer; ask again later.",
                      headers={"Retry-After": "10"}) from None  # fmt: skip
    except RecordsError:
        raise no_log() from None


def _database(service: Service) -> Database:
    if service.log is None:
        raise no_log()
    return service.log.database


def _who(request: Request) -> str:
    return str(getattr(request.state, "api_key", LOOPBACK))


def _request_id(request: Request) -> str:
    return str(getattr(request.state, "request_id", ""))
