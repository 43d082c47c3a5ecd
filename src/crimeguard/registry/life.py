"""Steps in the life of a registered version, each behind its checks."""

from __future__ import annotations

from pathlib import Path

from crimeguard.domain.errors import RegistryError
from crimeguard.evaluate.checks import checks_of_card, require
from crimeguard.registry.golden import load_checked
from crimeguard.registry.store import STAGING, Registry


def promote_version(
    registry: Registry, bundles: Path, number: str | None = None
) -> tuple[str, str | None]:
    """Promote a version, by default the one in staging; return it and the one it replaced.

    The bundle is fetched, verified byte by byte, must answer its golden rows, and the
    scores of its card must pass the checks that it was trained under. Raises
    GateRefusedError, BundleError or RegistryError; the alias does not move then.
    """
    number = number or registry.version_of(STAGING)
    if number is None:
        raise RegistryError("There is no version in staging.",
                            fix="Run `crimeguard train`, or name a version.")  # fmt: skip
    folder = registry.fetch_version(number, into=bundles)
    bundle = load_checked(folder)
    require(checks_of_card(bundle.card))
    return number, registry.promote(number)
