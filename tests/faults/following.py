"""The real API with real bundles beside a registry of folders: `python -m tests.faults.following`.

CRIMEGUARD_HOME/registry holds a folder for each version, the file `alias` with the one in
production, and the file `broken` while the registry is `down` or should `hang`. How many
bundles are in memory is added to `live` whenever another has been loaded.
"""

from __future__ import annotations

import gc
import shutil
import sys
import time
import weakref
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from crimeguard.domain.errors import RegistryError
from crimeguard.registry.bundle import Bundle
from crimeguard.serve import server
from crimeguard.serve.follower import Names
from crimeguard.serve.slot import Predicts
from crimeguard.settings import Settings

PROGRAM: Final = "tests.faults.following"
EVERY: Final = 0.05  # seconds


@dataclass(frozen=True)
class Folders:
    """A registry; both sides of a test use it."""

    folder: Path

    def put(self, version: str, bundle: Path) -> Path:
        """Register a copy of a bundle, and return where it is."""
        shutil.copytree(bundle, self.folder / version, symlinks=True)
        return self.folder / version

    def name(self, version: str) -> None:
        """Let the alias name a version."""
        new = self.folder / ".alias"
        new.write_text(version)
        new.replace(self.folder / "alias")

    def break_down(self, how: str) -> None:
        """Let it be `down` or `hang`; with nothing it works again."""
        new = self.folder / ".broken"
        new.write_text(how)
        new.replace(self.folder / "broken")

    def version_of(self, alias: str) -> str | None:
        self._suffer()
        file = self.folder / "alias"
        return file.read_text() if file.exists() else None

    def fetch(self, alias: str, into: Path) -> Path | None:
        """Copy a version whatever it holds; what is half copied never has its name."""
        version = self.version_of(alias)
        if version is None:
            return None
        target, work = into / f"v{version}", into / f".download-{version}"
        try:
            shutil.copytree(self.folder / version, work, symlinks=True)
            shutil.rmtree(target, ignore_errors=True)
            work.rename(target)
        except (OSError, shutil.Error) as error:
            raise RegistryError("The copy failed.", why=str(error)) from error
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return target

    def _suffer(self) -> None:
        file = self.folder / "broken"
        how = file.read_text() if file.exists() else ""
        if how == "down":
            raise RegistryError("It is down.")
        while how == "hang" and file.read_text() == "hang":
            time.sleep(0.05)


def folders(home: Path) -> Folders:
    """Return the registry of a home; it is made if need be."""
    (home / "registry").mkdir(parents=True, exist_ok=True)
    return Folders(home / "registry")


def main() -> None:
    """Serve until told to end, as `crimeguard serve` does."""
    settings = replace(Settings.load(), port=0, follow_seconds=EVERY)
    live: list[weakref.ref[Bundle]] = []
    true = server.load

    def load(path: Path, **options: Any) -> Predicts:
        predictor = true(path, **options)
        assert isinstance(predictor.bundle, Bundle)
        live.append(weakref.ref(predictor.bundle))
        gc.collect()
        live[:] = [bundle for bundle in live if bundle() is not None]
        with (settings.home / "live").open("a") as file:
            file.write(f"{len(live)}\n")
        return predictor

    def connect(uri: str) -> Names:
        return folders(settings.home)

    server.load, server.connect = load, connect
    server.run(settings, on_listen=lambda url: print(f"answers at {url}", file=sys.stderr))  # noqa: T201


if __name__ == "__main__":
    main()
