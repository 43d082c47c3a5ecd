"""A server to be run as a process of its own: the real one, with a stand-in for the model.

`python -m tests.serve.program HOME` follows HOME/alias.txt, which holds a version.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from crimeguard.domain.incident import Incident
from crimeguard.domain.prediction import Prediction
from crimeguard.serve import server
from crimeguard.serve.follower import Names
from crimeguard.serve.slot import Predicts
from crimeguard.settings import Settings
from tests.serve.fakes import FakePredictor

SLOW_AREA = 21
SLOW_SECONDS = 0.6


class SlowPredictor(FakePredictor):
    """Takes its time over one area."""

    def predict(self, incidents: Sequence[Incident]) -> list[Prediction]:
        if any(incident.area == SLOW_AREA for incident in incidents) and len(incidents) == 1:
            time.sleep(SLOW_SECONDS)
        return super().predict(incidents)


class FileRegistry:
    """The alias is a file, a version is a folder."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def version_of(self, alias: str) -> str | None:
        return (self._home / "alias.txt").read_text() or None

    def fetch(self, alias: str, into: Path) -> Path | None:
        folder = into / f"v{self.version_of(alias)}"
        folder.mkdir(exist_ok=True)
        return folder


def main(home: Path) -> None:
    """Serve until told to stop; the first line of stdout is the address."""

    def connect(uri: str) -> Names:
        return FileRegistry(home)

    def load(path: Path, **_: object) -> Predicts:
        return SlowPredictor(path.name.removeprefix("v"))

    server.connect, server.load = connect, load
    settings = replace(Settings.load(), home=home, port=0, follow_seconds=0.05)
    server.run(settings, on_listen=lambda address: print(address, flush=True))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
