"""Runs the API: one process with one event loop, or several behind one port; an orderly end."""

from __future__ import annotations

import gc
import ipaddress
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

from crimeguard.domain.errors import CrimeGuardError, UsageError
from crimeguard.serve import logs
from crimeguard.serve.keys import open_keys
from crimeguard.settings import Settings

# The supervisor of several workers needs next to nothing of what they are made of.
if TYPE_CHECKING:
    from crimeguard.records.prediction_log import PredictionLog
    from crimeguard.registry.signature import Signers
    from crimeguard.serve.follower import Follower, Names
    from crimeguard.serve.rehearsal import Rehearsal
    from crimeguard.serve.shared import Shared
    from crimeguard.serve.slot import Predicts, Slot
    from crimeguard.serve.traffic import Fetches, Traffic

WORKER: Final = "crimeguard.serve.worker"
_BACKLOG: Final = 2048
_THRESHOLDS: Final = (50_000, 20, 50)  # of new objects, and of younger generations looked at
_SEND_BUFFER: Final = 262_144  # bytes


def run(
    settings: Settings,
    *,
    bundle: Path | None = None,
    on_listen: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are answered first.

    RecordsError if the prediction log cannot be opened: nothing is answered without it.
    UsageError beyond loopback without API keys or for an experiment that is none, KeysError
    if keys cannot be read.

    Parameters
    ----------
    bundle
        Serve this folder and follow nothing; BundleError if it does not verify.
    on_listen
        Called with the address once the port is ours.
    """
    if open_keys(settings) is None:
        require_loopback(settings.host)
    if settings.experiment:
        from crimeguard.registry.contest import parse_wanted

        parse_wanted(settings.experiment)
    logs.configure(settings.log_format)

    def listen() -> socket.socket:
        listener = bind(settings.host, settings.port)
        if on_listen is not None:
            on_listen(address_of(listener))
        return listener

    if settings.workers == 1:
        answer(settings, listen, bundle=bundle)
    else:
        _supervise(settings, listen, bundle)


def _supervise(
    settings: Settings, listen: Callable[[], socket.socket], bundle: Path | None
) -> None:
    from crimeguard.records.database import open_database
    from crimeguard.serve.supervisor import supervise

    # Once, and not by every worker.
    open_database(settings).close()
    with closing(listen()) as listener:
        supervise(settings, listener, bundle, program=WORKER)


def answer(
    settings: Settings,
    listen: Callable[[], socket.socket],
    *,
    bundle: Path | None = None,
    shared: Shared | None = None,
    place: int = 0,
    again: bool = False,
) -> None:
    """Answer with this process until told to end.

    Parameters
    ----------
    listen
        Returns the socket to answer at, once there is something to answer with.
    shared
        The metrics of all workers, if there are several.
    place
        Which of them this is; the first does what is to be done by one only.
    again
        Whether it takes the place of one that has died.
    """
    logs.configure(settings.log_format)
    slot, follower = _source(settings, bundle)
    with _opened_log(settings, prunes=place == 0) as log:
        _run(settings, slot, follower, log, listen(), shared, again=again)


def _source(settings: Settings, bundle: Path | None) -> tuple[Slot, Follower | None]:
    from crimeguard.registry.signature import trusted
    from crimeguard.serve.follower import Follower
    from crimeguard.serve.slot import Slot
    from crimeguard.serve.warm import warm

    slot = Slot()
    if bundle is None:
        return slot, Follower(
            slot, connect=lambda: connect(settings.tracking_uri), load=_loader(settings),
            cache=settings.home / "bundles" / "served", every=settings.follow_seconds,
        )  # fmt: skip
    # Nothing is in service yet that it could end, so it is not rehearsed.
    predictor = load(bundle, signers=trusted(settings))
    warm(predictor)
    slot.swap(predictor)
    return slot, None


def _loader(settings: Settings) -> Callable[[Path], Predicts]:
    """Return the one way from a folder to a predictor, for champions and challengers."""
    from crimeguard.registry.signature import trusted
    from crimeguard.serve.rehearsal import Rehearsal

    rehearsal = Rehearsal(settings.home / "bundles" / "rehearsed")
    return partial(load, signers=trusted(settings), rehearsal=rehearsal)


@contextmanager
def _opened_log(settings: Settings, *, prunes: bool) -> Iterator[PredictionLog]:
    """Open the log; closed once the last answer is written."""
    from crimeguard.records.database import open_database
    from crimeguard.records.prediction_log import PredictionLog
    from crimeguard.records.retention import Retention

    with (
        closing(open_database(settings)) as database,
        PredictionLog(database) as log,
        closing(Retention(database, settings.log_days)) as retention,
    ):
        if prunes:
            retention.start()
        yield log


def load(
    path: Path, *, signers: Signers | None = None, rehearsal: Rehearsal | None = None
) -> Predicts:
    """Verify the bundle in a folder, its golden rows too, and make its predictor.

    Parameters
    ----------
    signers
        Who may have signed it; None asks for no signature.
    rehearsal
        Lets a child process load it first.
    """
    from crimeguard.registry.bundle import verify
    from crimeguard.registry.golden import load_checked
    from crimeguard.serve.predictor import Predictor

    if signers is not None:
        signers.require(path)
    if rehearsal is not None:
        rehearsal.require(path, verify(path)[1])
    return Predictor(load_checked(path, signers))


def connect(uri: str) -> Names:
    """Reach the registry; its import takes seconds, so this belongs in a thread."""
    from crimeguard.registry.store import Registry

    return Registry(uri)


def versions(uri: str) -> Fetches:
    """Reach the registry for the versions of experiments; likewise."""
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
    # Left to itself the kernel keeps megabytes for each client that does not read.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
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


def _traffic(settings: Settings, slot: Slot, log: PredictionLog) -> Traffic:
    from crimeguard.records.ledger import Ledger
    from crimeguard.registry.contest import parse_wanted
    from crimeguard.serve.traffic import Traffic

    return Traffic(
        slot, Ledger(log.database), connect=lambda: versions(settings.tracking_uri),
        load=_loader(settings), cache=settings.home / "bundles" / "challengers",
        every=settings.follow_seconds,
        wanted=parse_wanted(settings.experiment),
    )  # fmt: skip


def _run(
    settings: Settings,
    slot: Slot,
    follower: Follower | None,
    log: PredictionLog,
    listener: socket.socket,
    shared: Shared | None,
    *,
    again: bool,
) -> None:
    from crimeguard.serve.app import create_app
    from crimeguard.serve.leaving import LeavingServer, configured

    app = create_app(settings, slot, follower, log, shared, _traffic(settings, slot, log))
    _look_at_what_is_new()
    # uvicorn ends gracefully and then raises the signal again; being asked to stop is no
    # failure, so by then somebody must be there to take it quietly.
    before = {number: signal.signal(number, _done) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        LeavingServer(configured(app, settings), app.state.service, again=again).run(
            sockets=[listener]
        )
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        listener.close()


def _look_at_what_is_new() -> None:
    """Keep the collector from half a million objects that stay: a tenth of a prediction's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)


def _done(_number: int, _frame: FrameType | None) -> None:
    """Take a signal that has been acted on already."""
