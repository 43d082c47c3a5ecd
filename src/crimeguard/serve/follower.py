"""Follows the registry's alias: fetches, verifies, warms and swaps, while requests go on."""

from __future__ import annotations

import datetime as dt
import json
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from crimeguard.domain.errors import BundleError, CrimeGuardError
from crimeguard.repeating import Repeating
from crimeguard.serve.slot import Predicts, Slot
from crimeguard.serve.warm import warm

log = logging.getLogger(__name__)

ALIAS: Final = "production"
_NOTE: Final = "serving.json"
State = Literal["starting", "following", "empty", "refused", "unreachable"]
_KEPT: Final = 2  # bundles in the cache: the one in service and the one before
_PATIENCE: Final = 30  # looks before a refused version is tried again


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
    did not answer, `refused` the bundles that were tried and did not verify.
    """

    state: State = "starting"
    version: str | None = None
    looked_at: dt.datetime | None = None
    answered_at: dt.datetime | None = None
    unreachable: int = 0
    refused: int = 0


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
        The folder of fetched bundles. What was served last is served again after a
        restart, before the registry answers.
    every
        Seconds between looks.
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
        self._complaint = ""
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
        except Exception:
            # Whatever a registry client throws, what is served goes on being served.
            log.exception("the look at the registry failed")
            self._note("unreachable")
        else:
            self._complaint = ""
            if version is None:
                self._note("empty")
            else:
                self._note("following" if version == self._version else "refused")

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
        self._cache.mkdir(parents=True, exist_ok=True)
        try:
            folder = self._registry.fetch(ALIAS, into=self._cache)
            if folder is None:
                return None
            self._serve(folder, version)
        except BundleError:
            self._refused = (version, time.monotonic() + _PATIENCE * self._every)
            raise
        self._remember(folder)
        return version

    def _is_refused(self, version: str) -> bool:
        if self._refused is None or self._refused[0] != version:
            return False
        return time.monotonic() < self._refused[1]

    def _serve(self, folder: Path, version: str, expected: str | None = None) -> None:
        predictor = self._load(folder)
        if expected not in (None, predictor.bundle.sha256):
            raise BundleError(f"{folder.name} is not the bundle that was served.",
                              why="Its manifest has changed.")  # fmt: skip
        warm(predictor)
        self._slot.swap(predictor)
        self._version, self._refused = version, None
        log.info("serving version %s (%s)", version, predictor.bundle.sha256[:12])

    def _remember(self, folder: Path) -> None:
        """Note what is served for the next start, and forget bundles long out of service."""
        name = str(folder.relative_to(self._cache))
        try:
            fetched = [item for item in self._note_of_last()["fetched"] if item != name]
        except (OSError, ValueError, KeyError, TypeError):
            fetched = []
        # Only what this thread fetched is ever removed: others keep bundles here too.
        for old in fetched[: 1 - _KEPT]:
            shutil.rmtree(self._cache / old, ignore_errors=True)
        note = {
            "folder": name,
            "version": self._version,
            "sha256": self._slot.require().bundle.sha256,
            "fetched": [*fetched[1 - _KEPT :], name],
        }
        new = self._cache / f".{_NOTE}.new"
        new.write_text(json.dumps(note), encoding="utf-8")
        new.replace(self._cache / _NOTE)

    def _note_of_last(self) -> dict[str, Any]:
        note: dict[str, Any] = json.loads((self._cache / _NOTE).read_text(encoding="utf-8"))
        return note

    def _note(self, state: State, *, tried: bool = False) -> None:
        now, before = dt.datetime.now(dt.UTC), self.state
        answered = state != "unreachable"
        self.state = FollowState(
            state, self._version, now, now if answered else before.answered_at,
            before.unreachable + (not answered), before.refused + tried,
        )  # fmt: skip
