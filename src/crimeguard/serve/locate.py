"""Find the bundle to answer from: a folder that is named, or the one in production."""

from __future__ import annotations

from pathlib import Path

from crimeguard.domain.errors import BundleError
from crimeguard.registry.bundle import Bundle
from crimeguard.registry.golden import load_checked
from crimeguard.registry.signature import trusted
from crimeguard.settings import Settings


def load_bundle(folder: Path | None, settings: Settings) -> Bundle:
    """Load and check a bundle; without a folder, the one that alias `production` names."""
    if folder is None:
        folder = _in_production(settings)
    return load_checked(folder, trusted(settings))


def _in_production(settings: Settings) -> Path:
    found = None
    # Opening a database that is not there would make one.
    if settings.mlflow_tracking_uri or settings.database.exists():
        from crimeguard.registry.store import PRODUCTION, Registry

        registry = Registry(settings.tracking_uri)
        found = registry.fetch(PRODUCTION, into=settings.home / "bundles")
    if found is None:
        raise BundleError("There is no model in production.",
                          why="The registry has no version under that alias.",
                          fix="Run `crimeguard train` first, or name a bundle's folder with "
                          "--bundle.")  # fmt: skip
    return found
