"""`crimeguard fetch`: the bundle of a version as a folder, for places without a registry."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crimeguard.cli.console import console, emit
from crimeguard.domain.errors import CrimeGuardError, UsageError

if TYPE_CHECKING:
    from crimeguard.registry.bundle import Bundle
    from crimeguard.registry.signature import Signers
    from crimeguard.registry.store import Registry


def fetch(
    out: Annotated[Path, typer.Option(help="Folder of the bundle; an older bundle is replaced.")],
    version: Annotated[
        str | None, typer.Option(metavar="N", help="A version; default: the one in production.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write the outcome to stdout.")] = False,
) -> None:
    """Write a bundle to a folder that `crimeguard serve --bundle` can serve.

    Examples:
      crimeguard fetch --out bundle
      crimeguard fetch --out bundle --version 3

    It is verified before it gets its name, its signature too if CRIMEGUARD_BUNDLE_PUBLIC_KEYS
    says whose. Who serves the folder takes the new one at the
    next start.
    """
    from crimeguard.registry.signature import trusted
    from crimeguard.registry.store import open_registry
    from crimeguard.settings import Settings

    _require_replaceable(out)
    settings = Settings.load()
    bundle = _replaced(open_registry(settings), version, out, trusted(settings))
    if as_json:
        emit({"bundle": str(out), "sha256": bundle.sha256, "bytes": bundle.size})
    else:
        console.print(f"{out}  bundle {bundle.version}, {bundle.size / 1e6:.1f} MB", markup=False,
                      soft_wrap=True)  # fmt: skip


def _require_replaceable(out: Path) -> None:
    """Refuse to remove what is no bundle."""
    from crimeguard.registry.bundle import MANIFEST

    if not out.exists() or (out / MANIFEST).is_file():
        return
    if not out.is_dir() or any(out.iterdir()):
        raise UsageError(f"{out} is there and is no bundle.", why="It would be removed.",
                         fix="Name another folder with --out.")  # fmt: skip


def _replaced(
    registry: Registry, version: str | None, out: Path, signers: Signers | None
) -> Bundle:
    from crimeguard.registry.golden import load_checked
    from crimeguard.registry.store import PRODUCTION

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=out.parent) as work:
        found = (registry.fetch(PRODUCTION, Path(work)) if version is None
                 else registry.fetch_version(version, Path(work)))  # fmt: skip
        if found is None:
            raise CrimeGuardError("There is nothing to fetch.", why="No model is in production.",
                                  fix="Run `crimeguard train` first.")  # fmt: skip
        loaded = load_checked(found, signers)
        _open_to_all(found)
        if out.exists():
            out.rename(Path(work) / "old")
        found.rename(out)
        return loaded


def _open_to_all(bundle: Path) -> None:
    """Let any user read it: the process that serves it has a user of its own."""
    bundle.chmod(0o755)
    for file in bundle.iterdir():
        file.chmod(0o644)
