"""Experiments that need neither a registry nor bundles."""

from __future__ import annotations

from pathlib import Path

from crimeguard.domain.errors import CrimeGuardError, NoVersionError
from crimeguard.evaluate.betting import Mode
from crimeguard.evaluate.experiment_plan import Plan
from crimeguard.records.ledger import Ledger
from crimeguard.registry.contest import Contest, Wanted
from crimeguard.registry.experiments import Experiment, start

PLAN = Plan(horizon=100)


def sha256_of(version: str) -> str:
    """Return what tests.serve.fakes gives a bundle of this version."""
    return version.zfill(64)


def contest(
    mode: Mode = "shadow", share: float = 0.0, *, version: str = "2", champion: str = "1"
) -> Contest:
    return Contest(Wanted(mode, version, share), sha256_of(version), sha256_of(champion))


def started(ledger: Ledger, mode: Mode = "shadow", share: float = 0.0) -> Experiment:
    """Start an experiment of version 2 beside version 1."""
    return start(ledger, contest(mode, share), PLAN, who="ada", why="to see")


class FakeVersions:
    """Versions up to `newest`; `production` is the one in production."""

    def __init__(self, newest: int = 3, production: str | None = "1") -> None:
        self.newest = newest
        self.production = production
        self.fetched: list[str] = []
        self.failure: CrimeGuardError | None = None

    def version_of(self, alias: str) -> str | None:
        assert alias == "production"
        self._may_fail()
        return self.production

    def sha256_of(self, number: str) -> str:
        self._may_fail()
        if int(number) > self.newest:
            raise NoVersionError(f"There is no version {number} of crimeguard.")
        return sha256_of(number)

    def fetch_version(self, number: str, into: Path) -> Path:
        self.sha256_of(number)
        self.fetched.append(number)
        folder = into / f"v{number}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _may_fail(self) -> None:
        if self.failure is not None:
            raise self.failure
