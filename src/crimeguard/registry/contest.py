"""Which two bundles are compared, and how incidents come to them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Protocol

from crimeguard.domain.errors import RegistryError, UsageError
from crimeguard.evaluate.betting import MODES, Mode
from crimeguard.evaluate.experiment_plan import make_plan

PRODUCTION: Final = "production"
_VERSION: Final = re.compile(r"[1-9]\d{0,9}", re.ASCII)


class Versions(Protocol):
    """What experiments ask of a model registry."""

    def version_of(self, alias: str) -> str | None:
        """Return the version that an alias names, None if it names none."""

    def sha256_of(self, number: str) -> str:
        """Return the digest of the bundle of a version; RegistryError if there is none."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asks for: `share` is 0 in a shadow."""

    mode: Mode
    version: str
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class Contest:
    """Two bundles, by their sha256, and how incidents come to them."""

    wanted: Wanted
    challenger: str
    champion: str


def parse_wanted(text: str) -> Wanted | None:
    """Read CRIMEGUARD_EXPERIMENT: `shadow:VERSION` or `split:SHARE:VERSION`; '' is none.

    UsageError for anything else.
    """
    if not text.strip():
        return None
    mode, *rest = text.strip().split(":")
    try:
        if mode == "split":
            share, version = float(rest[0]), rest[1]
            return wanted_of(mode, version, share) if len(rest) == 2 else _nonsense(text)
        (version,) = rest
        return wanted_of(mode, version)
    except (ValueError, IndexError):
        return _nonsense(text)


def wanted_of(mode: str, version: str, share: float | None = None) -> Wanted:
    """Put a request together; UsageError if it makes no sense."""
    known = next((item for item in MODES if item == mode), None)
    if known is None:
        raise UsageError(f"There is no experiment of mode {mode[:40]!r}.",
                         fix="Use shadow, or split with a share.")  # fmt: skip
    if not _VERSION.fullmatch(version):
        raise UsageError(f"{version[:40]!r} is no version.", why="Versions are numbers from 1 on.",
                         fix="`crimeguard train` prints them.")  # fmt: skip
    wanted = Wanted(known, version, share or 0.0)
    if known == "split" and share is None:
        raise UsageError("A split needs a share.", fix="0.1 sends a tenth to the challenger.")
    make_plan(wanted.mode, wanted.share)  # which refuses a share that cannot be
    return wanted


def _nonsense(text: str) -> Wanted:
    raise UsageError(
        f"CRIMEGUARD_EXPERIMENT is {text[:80]!r}.", why="It names no experiment.",
        fix="Set it to shadow:VERSION or split:SHARE:VERSION (split:0.1:7), or unset it.",
    )  # fmt: skip


def contest_of(registry: Versions, wanted: Wanted, champion: str | None = None) -> Contest:
    """Look up both bundles; the champion is what is in production unless it is given.

    RegistryError if there is no such version or nothing in production, UsageError if both
    are the same bundle.
    """
    challenger = registry.sha256_of(wanted.version)
    if not challenger:
        raise RegistryError(f"Version {wanted.version} does not say which bundle it is.",
                            fix="Name one that `crimeguard train` made.")  # fmt: skip
    if champion is None:
        number = registry.version_of(PRODUCTION)
        if number is None:
            raise RegistryError("There is nothing in production to compare with.",
                                fix="Promote a version first.")  # fmt: skip
        champion = registry.sha256_of(number)
    if challenger == champion:
        raise UsageError(f"Version {wanted.version} is what is in production.",
                         why="A model cannot be compared with itself.",
                         fix="Name another version.")  # fmt: skip
    return Contest(wanted, challenger, champion)
