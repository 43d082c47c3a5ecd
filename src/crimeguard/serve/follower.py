"""Follows the registry's alias: fetches, verifies, warms and swaps, while requests go on."""

from __future__ import annotations

import datetime as dt
import json
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Protocol

from crimeguard.domain.errors import BundleError, CrimeGuardError
from crimeguard.records.ledger import Ledger
from crimeguard.registry.folder import held
from crimeguard.repeating import Repeating
from crimeguard.serve.slot import Predicts, Slot
from crimeguard.serve.warm import ready

log = logging.getLogger(__name__)

ALIAS: Final = "production"
WHO: Final = "serve"
_NOTE: Final = "serving.json"
_LOCK: Final = ".follow.lock"
State = Literal["starting", "following", "empty", "refused", "unreachable"]
_KEPT: Final = 2  # bundles in the cache: the one in service and the one before
_PATIENCE: Final = 30  # looks before a refused version is tried again
_BACK: Final = 100  # lines of the ledger to go back for the same refusal


class Names(Protocol):
    """What the follower asks of a model registry."""

    def version_of(self, alias: str) -> str | None:
        """Return the version that an alias names, None if it names none."""

    def fetch(self, alias: str, into: Path) -> Path | None:
        """Download the bundle that an alias names into a folder, and return where it is."""


@dataclass(frozen=True, slots=True)
class FollowState:
    """What is known of the registry: for /health.

    `state` is `starting` before the first look, `unreachable` when the last look failed,
    `refused` when the alias names a bundle that did not verify, `empty` when it names none.
    `answered_at` is when the registry answered last; `unreachable` counts the looks that it
    did not answer, `refused` the bundles that were tried and did not verify; `turned_away` is
    the version that the alias names if it is refused.
    """

    state: State = "starting"
    version: str | None = None
    looked_at: dt.datetime | None = None
    answered_at: dt.datetime | None = None
    unreachable: int = 0
    refused: int = 0
    turned_away: str | None = None


class _Refusal(NamedTuple):
    """What is written down of a refusal; the error itself would keep the bundle in memory."""

    version: str
    what: str
    why: str
    said: str


class Follower:
    """A thread that keeps a slot at the version that the alias names.

    Parameters
    ----------
    slot
        What to swap.
    connect
        Makes the registry; called in the thread, since its import takes seconds.
    load
        Verifies a folder and makes its predictor; raises BundleError.
    cache
        The folder of fetched bundles, shared by the workers of a server. What was served
        last is served again after a restart, before the registry answers.
    every
        Seconds between looks.

    Attributes
    ----------
    ledger
        Where refusals are written down; None keeps them to the log.
    """

    def __init__(
        self,
        slot: Slot,
        *,
        connect: Callable[[], Names],
        load: Callable[[Path], Predicts],
        cache: Path,
        every: float,
    ) -> None:
        self._slot = slot
        self._connect = connect
        self._load = load
        self._cache = cache
        self._every = every
        self._registry: Names | None = None
        self._version: str | None = None
        self._refused: tuple[str, float] | None = None
        self._unwritten: _Refusal | None = None
        self._unwritable = False
        self._unnoted: Path | None = None
        self._complaint = ""
        self.ledger: Ledger | None = None
        self._repeating = Repeating("follower", self._step, every)
        self._restored = False
        self.state = FollowState()

    def start(self) -> None:
        """Serve the last verified bundle at once, if there is one, and begin to look."""
        self._repeating.start()

    def stop(self) -> None:
        """End the thread; a download that runs is left behind."""
        self._repeating.close()

    def restore(self) -> None:
        """Put the bundle that was served last into the slot, if it still verifies."""
        try:
            last = self._note_of_last()
            folder, version, sha256 = (str(last[key]) for key in ("folder", "version", "sha256"))
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError):
            log.warning("%s cannot be read; waiting for the registry", self._cache / _NOTE)
            return
        try:
            self._serve(self._cache / folder, version, expected=sha256)
        except CrimeGuardError as error:
            log.warning("the bundle served last is not usable: %s", error)
        self.state = replace(self.state, version=self._version)

    def look(self) -> None:
        """Look at the registry once, and swap if the alias names another version."""
        try:
            version = self._look()
        except BundleError as error:
            self._complain(f"the bundle under alias {ALIAS} is refused: {error}")
            self._note("refused", tried=True)
        except CrimeGuardError as error:
            self._complain(f"the registry cannot be read: {error}")
            self._note("unreachable")
        except OSError as error:
            self._complain(f"the registry or {self._cache} cannot be read: {error}")
            self._note("unreachable")
        except Exception:
            # Whatever a registry client throws, what is served goes on being served.
            log.exception("the look at the registry failed")
            self._note("unreachable")
        else:
            if version is None:
                self._note("empty")
            else:
                self._note("following" if version == self._version else "refused")
            if self.state.state != "refused":
                self._complaint = ""
        self._write_down()
        self._remember()

    def _complain(self, complaint: str) -> None:
        """Warn once of what stays wrong look after look."""
        level = logging.DEBUG if complaint == self._complaint else logging.WARNING
        log.log(level, "%s", complaint)
        self._complaint = complaint

    def _step(self) -> None:
        if not self._restored:
            self._restored = True
            self.restore()
        self.look()

    def _look(self) -> str | None:
        if self._registry is None:
            self._registry = self._connect()
        version = self._registry.version_of(ALIAS)
        if version is None or version == self._version or self._is_refused(version):
            return version
        # Workers follow one alias: while one fetches and loads, none removes what is old.
        with held(self._cache, _LOCK):
            return self._change_to(version, self._registry)

    def _change_to(self, version: str, registry: Names) -> str | None:
        try:
            folder = registry.fetch(ALIAS, into=self._cache)
            if folder is None:
                return None
            self._serve(folder, version)
        except BundleError as error:
            self._refused = (version, time.monotonic() + _PATIENCE * self._every)
            self._unwritten = _Refusal(version, error.what, error.why, str(error))
            raise
        self._unnoted = folder
        return version

    def _is_refused(self, version: str) -> bool:
        if self._refused is None or self._refused[0] != version:
            return False
        return time.monotonic() < self._refused[1]

    def _serve(self, folder: Path, version: str, expected: str | None = None) -> None:
        predictor = ready(folder, self._load)
        if expected not in (None, predictor.bundle.sha256):
            raise BundleError(f"{folder.name} is not the bundle that was served.",
                              why="Its manifest has changed.")  # fmt: skip
        self._slot.swap(predictor)
        self._version, self._refused = version, None
        log.info("serving version %s (%s)", version, predictor.bundle.sha256[:12])

    def _write_down(self) -> None:
        """Put a refusal into the ledger, once for all workers; again if that fails."""
        if self._unwritten is None or self.ledger is None:
            return
        refusal = self._unwritten
        try:
            with held(self._cache, _LOCK):
                if not _is_known(self.ledger, refusal.version):
                    self._append(self.ledger, refusal)
        except CrimeGuardError as failure:
            level = logging.DEBUG if self._unwritable else logging.WARNING
            log.log(level, "the refusal of version %s cannot be written down: %s",
                    refusal.version, failure)  # fmt: skip
            self._unwritable = True
        else:
            self._unwritten, self._unwritable = None, False

    def _append(self, ledger: Ledger, refusal: _Refusal) -> None:
        served = self._slot.current
        ledger.append(
            "refusal", subject=refusal.version, who=WHO, why=refusal.said,
            evidence={
                "alias": ALIAS, "version": refusal.version, "what": refusal.what,
                "cause": refusal.why,
                "in_service": None if served is None else served.bundle.sha256,
                "in_service_version": self._version,
            },
        )  # fmt: skip

    def _remember(self) -> None:
        """Note what is served for the next start; again if that fails."""
        if self._unnoted is None:
            return
        try:
            with held(self._cache, _LOCK):
                self._keep_note(self._unnoted)
        except (OSError, CrimeGuardError) as error:
            log.warning("what is served cannot be noted for the next start: %s", error)
        else:
            self._unnoted = None

    def _keep_note(self, folder: Path) -> None:
        """Replace the note, and forget bundles long out of service."""
        name = str(folder.relative_to(self._cache))
        try:
            fetched = [item for item in self._note_of_last()["fetched"] if item != name]
        except (OSError, ValueError, KeyError, TypeError):
            fetched = []
        note = {
            "folder": name,
            "version": self._version,
            "sha256": self._slot.require().bundle.sha256,
            "fetched": [*fetched[1 - _KEPT :], name],
        }
        new = self._cache / f".{_NOTE}.new"
        new.write_text(json.dumps(note), encoding="utf-8")
        new.replace(self._cache / _NOTE)
        # Only what was fetched here is ever removed: others keep bundles here too.
        for old in fetched[: 1 - _KEPT]:
            shutil.rmtree(self._cache / old, ignore_errors=True)

    def _note_of_last(self) -> dict[str, Any]:
        note: dict[str, Any] = json.loads((self._cache / _NOTE).read_text(encoding="utf-8"))
        return note

    def _note(self, state: State, *, tried: bool = False) -> None:
        now, before = dt.datetime.now(dt.UTC), self.state
        answered = state != "unreachable"
        self.state = FollowState(
            state, self._version, now, now if answered else before.answered_at,
            before.unreachable + (not answered), before.refused + tried,
            self._refused[0] if state == "refused" and self._refused is not None else None,
        )  # fmt: skip


def _is_known(ledger: Ledger, version: str) -> bool:
    """Tell whether a refusal has been written down since production changed last."""
    for line in reversed(ledger.entries(("refusal", "promotion", "rollback"), newest=_BACK)):
        if line.kind != "refusal":
            return False
        if line.subject == version:
            return True
    return False
