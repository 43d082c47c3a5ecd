"""Who answers an incident while an experiment runs, and who is scored beside.

The ledger says what runs; a thread looks there, fetches the challenger, verifies and warms it
as the follower does a champion, and puts it in place. Until then, and whenever anything is
wrong with it, the champion answers everything.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final, Literal, NamedTuple, Protocol

from crimeguard.domain.errors import BundleError, CrimeGuardError, RecordsError, RegistryError
from crimeguard.evaluate.experiment_plan import make_plan
from crimeguard.records.entry import CHALLENGER, CHAMPION, SHADOW
from crimeguard.records.ledger import Ledger
from crimeguard.registry import experiments
from crimeguard.registry.contest import PRODUCTION, Versions, Wanted, contest_of
from crimeguard.registry.experiments import Experiment, ExperimentError
from crimeguard.registry.folder import held
from crimeguard.repeating import Repeating
from crimeguard.serve.slot import Predicts, Slot
from crimeguard.serve.warm import ready

log = logging.getLogger(__name__)

State = Literal["none", "preparing", "running", "waiting", "refused", "unreachable"]
_DIGEST: Final = 8  # bytes
_SCALE: Final = 1 << 8 * _DIGEST
_LOCK: Final = ".traffic.lock"
_PATIENCE: Final = 30  # looks before a refused challenger is tried again


class Fetches(Versions, Protocol):
    """What traffic asks of a model registry."""

    def fetch_version(self, number: str, into: Path) -> Path:
        """Download the bundle of a version into a folder, and return where it is."""


class Assigned(NamedTuple):
    """Who answers: the variant for the log, the predictor, the experiment that it is part of."""

    variant: str
    predictor: Predicts
    experiment: str | None


@dataclass(frozen=True, slots=True)
class TrafficState:
    """How the experiment goes in this process: for /health.

    `preparing`: the challenger is being fetched. `running`: it is in place. `waiting`: this
    process serves another bundle than the experiment's champion. `refused`: the challenger
    does not verify. `unreachable`: registry or ledger do not answer, or not with what was
    asked for. `refused` and `unreachable` are also counted.
    """

    state: State = "none"
    experiment: Experiment | None = None
    looked_at: dt.datetime | None = None
    refused: int = 0
    unreachable: int = 0


@dataclass(frozen=True, slots=True)
class _Arm:
    """A challenger in place; `edge` is below what its incidents are drawn, None in a shadow."""

    experiment: str
    champion: str
    predictor: Predicts
    edge: int | None


class Traffic:
    """Keeps the challenger of the experiment that runs in place.

    Parameters
    ----------
    slot
        Where the champion stands.
    ledger
        Says what runs; None for a service without experiments.
    connect
        Makes the registry; called in a thread, since its import takes seconds.
    load
        Verifies a folder and makes its predictor; raises BundleError.
    cache
        The folder that challengers are fetched into; nothing is ever removed from it. Like
        `load` and `connect` it is needed for an experiment, and not without.
    every
        Seconds between looks.
    wanted
        An experiment that is to be started, once, if none runs.
    """

    def __init__(
        self,
        slot: Slot,
        ledger: Ledger | None = None,
        *,
        connect: Callable[[], Fetches] | None = None,
        load: Callable[[Path], Predicts] | None = None,
        cache: Path | None = None,
        every: float = 10.0,
        wanted: Wanted | None = None,
    ) -> None:
        self.ledger = ledger
        self._slot = slot
        self._connect = connect
        self._load = load
        self._cache = cache
        self._every = every
        self._wanted = wanted
        self.who = f"api@{socket.gethostname()}:{os.getpid()}"
        self._registry: Fetches | None = None
        self._connecting = Lock()
        self._arm: _Arm | None = None
        self._ended: set[str] = set()
        self._tried: tuple[str, float] | None = None
        self._complaint = ""
        self._repeating = Repeating("traffic", self.look, every)
        self.state = TrafficState()

    def start(self) -> None:
        """Begin to look."""
        if self.ledger is not None:
            self._repeating.start()

    def close(self) -> None:
        """End the thread; a download that runs is left behind."""
        self._repeating.close()

    def assign(self, champion: Predicts, key: str) -> Assigned:
        """Say who answers an incident; the same key always meets the same variant.

        Parameters
        ----------
        champion
            What stands in the slot. If it is not the experiment's, it answers.
        key
            What tells incidents apart: the number, or the incident as it was sent.
        """
        arm = self._arm
        if arm is None or arm.champion != champion.bundle.sha256:
            return Assigned(CHAMPION, champion, None)
        if arm.edge is not None and draw(arm.experiment, key) < arm.edge:
            return Assigned(CHALLENGER, arm.predictor, arm.experiment)
        return Assigned(CHAMPION, champion, arm.experiment)

    def shadow(self) -> Assigned | None:
        """Return who is scored beside the answers; None mostly."""
        arm = self._arm
        if arm is None or arm.edge is not None:
            return None
        return Assigned(SHADOW, arm.predictor, arm.experiment)

    def registry(self) -> Fetches:
        """Reach the registry; RegistryError if it cannot be reached or there is none."""
        with self._connecting:
            if self._registry is None:
                if self._connect is None:
                    raise RegistryError("This service has no registry.")
                self._registry = self._connect()
            return self._registry

    def end(self, experiment: str) -> None:
        """Let the champion answer again at once: the experiment has been stopped."""
        self._ended.add(experiment)
        arm = self._arm
        if arm is not None and arm.experiment == experiment:
            self._arm = None

    def look(self) -> None:
        """Look at the ledger once, and do what it says."""
        if self.ledger is None:
            return
        experiment = self.state.experiment
        try:
            experiment = experiments.running(self.ledger) or self._begin(self.ledger)
            if experiment is not None and experiment.id in self._ended:
                experiment = None
            self._note("none" if experiment is None else self._follow(experiment), experiment)
        except BundleError as error:
            self._refuse(experiment, error)
        except CrimeGuardError as error:
            if isinstance(error, RegistryError) and self.state.state == "preparing":
                self._write_down(experiment, error)
            self._complain(f"the experiment cannot be followed: {error}")
            self._note("unreachable", experiment)
        except Exception:
            # Whatever a client throws, the champion goes on answering.
            log.exception("the look at the experiment failed")
            self._note("unreachable", experiment)

    def _begin(self, ledger: Ledger) -> Experiment | None:
        """Start what the configuration names, the first time that it can be."""
        wanted = self._wanted
        if wanted is None:
            return None
        champion = self._slot.current
        if champion is None:
            return None
        contest = contest_of(self.registry(), wanted, champion.bundle.sha256)
        self._wanted = None
        try:
            return experiments.start(
                ledger, contest, make_plan(wanted.mode, wanted.share), who=self.who,
                why="CRIMEGUARD_EXPERIMENT", once=True,
            )  # fmt: skip
        except ExperimentError as error:
            log.warning("the configured experiment is not started: %s", error.why)
            return None

    def _follow(self, experiment: Experiment) -> State:
        champion = self._slot.current
        if champion is None:
            return "waiting"
        if champion.bundle.sha256 != experiment.contest.champion:
            return self._stand_back(experiment)
        if self._arm is not None and self._arm.experiment == experiment.id:
            return "running"
        if self._is_refused(experiment):
            return "refused"
        self._note("preparing", experiment)
        self._prepare(experiment)
        return "running"

    def _stand_back(self, experiment: Experiment) -> State:
        """Stop an experiment whose champion is no longer in production; or wait for a swap."""
        contest = experiment.contest
        number = self.registry().version_of(PRODUCTION)
        sha256 = None if number is None else self.registry().sha256_of(number)
        if sha256 == contest.champion:
            return "waiting"
        new = "the challenger" if sha256 == contest.challenger else f"version {number}"
        if self.ledger is not None:
            self._stop(self.ledger, experiment, f"the champion changed: {new} is in production")
        self.end(experiment.id)
        return "none"

    def _stop(self, ledger: Ledger, experiment: Experiment, why: str) -> None:
        try:
            experiments.stop(ledger, who=self.who, why=why, only=experiment.id)
        except ExperimentError:
            return  # another process was quicker
        log.warning("the experiment is stopped: %s", why)

    def _prepare(self, experiment: Experiment) -> None:
        contest = experiment.contest
        if self._load is None or self._cache is None:
            raise RegistryError("This service loads no bundles.")
        # Workers follow one experiment, and fetch into one folder.
        with held(self._cache, _LOCK):
            folder = self.registry().fetch_version(contest.wanted.version, into=self._cache)
        predictor = ready(folder, self._load)
        if predictor.bundle.sha256 != contest.challenger:
            raise BundleError(f"Version {contest.wanted.version} is not what it was.",
                              why="Its sha256 is not the one in the ledger.")  # fmt: skip
        edge = None if contest.wanted.mode == "shadow" else round(contest.wanted.share * _SCALE)
        if experiment.id not in self._ended:
            self._arm = _Arm(experiment.id, contest.champion, predictor, edge)
        log.info("experiment %s: version %s is in place as %s", experiment.id[:12],
                 contest.wanted.version, contest.wanted.mode)  # fmt: skip

    def _is_refused(self, experiment: Experiment) -> bool:
        if self._tried is None or self._tried[0] != experiment.id:
            return False
        return time.monotonic() < self._tried[1]

    def _refuse(self, experiment: Experiment | None, error: BundleError) -> None:
        self._complain(f"the challenger is refused: {error}")
        before = self.state
        self.state = TrafficState(before.state, experiment, before.looked_at, before.refused + 1,
                                  before.unreachable)  # fmt: skip
        self._note("refused", experiment)
        self._write_down(experiment, error)
        if experiment is not None:
            self._tried = (experiment.id, time.monotonic() + _PATIENCE * self._every)

    def _write_down(self, experiment: Experiment | None, error: CrimeGuardError) -> None:
        if experiment is None or self.ledger is None:
            return
        try:
            experiments.refuse(self.ledger, experiment, who=self.who, why=str(error))
        except RecordsError as failure:
            log.warning("the refusal cannot be written down: %s", failure)

    def _complain(self, complaint: str) -> None:
        """Warn once of what stays wrong look after look."""
        level = logging.DEBUG if complaint == self._complaint else logging.WARNING
        log.log(level, "%s", complaint)
        self._complaint = complaint

    def _note(self, state: State, experiment: Experiment | None) -> None:
        before = self.state
        if state in ("none", "refused", "waiting"):
            self._arm = None
        if state in ("none", "running"):
            self._complaint = ""
        self.state = TrafficState(
            state, experiment, dt.datetime.now(dt.UTC), before.refused,
            before.unreachable + (state == "unreachable"),
        )  # fmt: skip


def draw(experiment: str, key: str) -> int:
    """Return a number below 2**64 that looks random and belongs to this experiment and key."""
    keyed = hashlib.blake2b(
        key.encode("utf-8", "surrogatepass"), digest_size=_DIGEST, key=experiment.encode()
    )
    return int.from_bytes(keyed.digest())
