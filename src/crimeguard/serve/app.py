"""The FastAPI app."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from starlette.middleware import Middleware

import crimeguard
from crimeguard.records.ledger import Ledger
from crimeguard.records.prediction_log import PredictionLog
from crimeguard.serve import (
    guard,
    openapi,
    problem,
    routes_batch,
    routes_docs,
    routes_experiment,
    routes_labels,
    routes_predict,
    routes_state,
    routes_v2,
)
from crimeguard.serve.audit import Audit, Audited
from crimeguard.serve.desk import Desk
from crimeguard.serve.envelope import Envelope
from crimeguard.serve.evidence import Evidence
from crimeguard.serve.follower import Follower
from crimeguard.serve.keys import open_keys
from crimeguard.serve.limits import limits_of
from crimeguard.serve.metrics import Measured, Metrics
from crimeguard.serve.service import Service
from crimeguard.serve.shared import Shared
from crimeguard.serve.slot import Slot
from crimeguard.serve.traffic import Traffic
from crimeguard.serve.verdicts import Verdicts
from crimeguard.settings import Settings

DESCRIPTION = (
    "Predicts the category of one reported incident, with a calibrated probability for each of "
    "15 categories. It does not rank places or people, and has no endpoint that could."
)


def create_app(
    settings: Settings,
    slot: Slot,
    follower: Follower | None = None,
    log: PredictionLog | None = None,
    shared: Shared | None = None,
    traffic: Traffic | None = None,
) -> FastAPI:
    """Put the API together.

    Parameters
    ----------
    settings
        Limits on bodies and batches, and the API keys: if there are any, callers need one.
    slot
        Holds the predictor, or will.
    follower
        Keeps the slot up to date; started and stopped with the app. None serves what the
        slot holds for good.
    log
        Keeps every prediction before it is answered; started and closed by the caller.
        None, for tests, keeps none.
    shared
        What the other workers have counted; None if there are none.
    traffic
        Says who answers while an experiment runs; started and stopped with the app. None is
        for tests: no experiment can be made.

    Raises
    ------
    KeysError
        If API keys are set but cannot be read.
    """
    keys = open_keys(settings)
    metrics = Metrics(slot, follower, log, shared)
    traffic = traffic or Traffic(slot)
    verdicts = evidence = None
    if log is not None:
        log.observer = metrics
        if follower is not None:
            follower.ledger = Ledger(log.database)
        verdicts = Verdicts(Ledger(log.database), slot)
        metrics.registry.register(verdicts)
        evidence = Evidence(traffic, log.database)
        metrics.registry.register(evidence)
    audit = Audit(None if log is None else Ledger(log.database))
    door: guard.Door = guard.HostDoor(settings.host)
    if keys is not None:
        door = guard.KeyDoor(keys, limits_of(settings), metrics.held_up)
    desk = Desk(log, traffic, most_waiting=settings.max_waiting, seconds=settings.deadline_seconds)
    service = Service(
        settings, slot, metrics, desk, door, follower, log, verdicts, traffic, evidence
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        service.close()

    app = FastAPI(
        title="CrimeGuard", version=crimeguard.__version__, description=DESCRIPTION,
        docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False,
        lifespan=lifespan,
        middleware=[
            Middleware(Measured, metrics=metrics, requests=service.requests),
            Middleware(Envelope, leaving=service.leaving),
            Middleware(guard.Guard, door=door, denied=audit.denied),
            Middleware(Audited, audit=audit),
        ],
    )  # fmt: skip
    app.state.service = service
    problem.install(app)
    for routes in (
        routes_predict, routes_batch, routes_labels, routes_experiment, routes_state,
        routes_v2, routes_docs,
    ):  # fmt: skip
        app.include_router(routes.router)
    guard.require_complete(app)
    app.openapi = partial(  # type: ignore[method-assign]
        openapi.describe, app, needs={} if keys is None else guard.NEEDS
    )
    return app
