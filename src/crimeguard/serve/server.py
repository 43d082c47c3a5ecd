"""Runs the API: one process, one event loop, an orderly end."""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn

from crimeguard.domain.errors import CrimeGuardError, UsageError
from crimeguard.records.database import open_database
from crimeguard.records.prediction_log import PredictionLog
from crimeguard.records.retention import Retention
from crimeguard.serve.app import create_app
from crimeguard.serve.follower import Follower, Names
from crimeguard.serve.keys import open_keys
from crimeguard.serve.leaving import LeavingServer
from crimeguard.serve.service import Service
from crimeguard.serve.slot import Predicts, Slot
from crimeguard.serve.warm import warm
from crimeguard.settings import Settings

_GRACE_SECONDS: Final = 20
_BACKLOG: Final = 2048


def run(
    settings: Settings,
    *,
    bundle: Path | None = None,
    on_listen: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are answered first.

    RecordsError if the prediction log cannot be opened: nothing is answered without it.
    UsageError beyond loopback without API keys, KeysError if they cannot be read.

    Parameters
    ----------
    bundle
        Serve this folder and follow nothing; BundleError if it does not verify.
    on_listen
        Called with the address once the port is ours.
    """
    if open_keys(settings) is None:
        require_loopback(settings.host)
    _log_to_stderr()
    slot = Slot()
    follower = None
    if bundle is not None:
        predictor = load(bundle)
        warm(predictor)
        slot.swap(predictor)
    else:
        follower = Follower(
            slot, connect=lambda: connect(settings.tracking_uri), load=load,
            cache=settings.home / "bundles" / "served", every=settings.follow_seconds,
        )  # fmt: skip
    with _opened_log(settings) as log:
        listener = bind(settings.host, settings.port)
        if on_listen is not None:
            on_listen(address_of(listener))
        _run(settings, slot, follower, log, listener)


@contextmanager
def _opened_log(settings: Settings) -> Iterator[PredictionLog]:
    """Open the log; closed once the last answer is written."""
    with (
        closing(open_database(settings)) as database,
        PredictionLog(database) as log,
        closing(Retention(database, settings.log_days)) as retention,
    ):
        retention.start()
        yield log


def load(path: Path) -> Predicts:
    """Verify the bundle in a folder, its golden rows too, and make its predictor."""
    from crimeguard.registry.golden import load_checked
    from crimeguard.serve.predictor import Predictor

    return Predictor(load_checked(path))


def connect(uri: str) -> Names:
    """Reach the registry; its import takes seconds, so this belongs in a thread."""
    from crimeguard.registry.store import Registry

    return Registry(uri)


def require_loopback(host: str) -> None:
    """UsageError unless only this machine can reach `host`."""
    try:
        inside = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        inside = False
    if not inside:
        raise UsageError(
            f"The API does not listen on {host!r}.",
            why="There are no API keys: whoever reaches the port could ask for predictions.",
            fix="Make a key with `crimeguard key` and set CRIMEGUARD_API_KEYS, or use "
            "--host 127.0.0.1.",
        )


def bind(host: str, port: int) -> socket.socket:
    """Take the port before anything else is said of it; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # From here on a caller waits instead of being turned away.
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise CrimeGuardError(
            f"Port {port} of {host} cannot be taken.", why=f"{error.strerror}.",
            fix="End what listens there, or choose another with --port.",
        ) from None  # fmt: skip
    return listener


def address_of(listener: socket.socket) -> str:
    """Return the URL that a bound socket answers at."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _run(
    settings: Settings,
    slot: Slot,
    follower: Follower | None,
    log: PredictionLog,
    listener: socket.socket,
) -> None:
    app = create_app(settings, slot, follower, log)
    config = uvicorn.Config(
        app, workers=1, log_config=None, access_log=False,
        server_header=False, ws="none", lifespan="on", timeout_graceful_shutdown=_GRACE_SECONDS,
    )  # fmt: skip
    # uvicorn ends gracefully and then raises the signal again; being asked to stop is no
    # failure, so by then somebody must be there to take it quietly.
    before = {number: signal.signal(number, _done) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        service: Service = app.state.service
        LeavingServer(config, service.leaving, settings.drain_seconds).run(sockets=[listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        listener.close()


def _done(_number: int, _frame: FrameType | None) -> None:
    """Take a signal that has been acted on already."""


def _log_to_stderr() -> None:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
