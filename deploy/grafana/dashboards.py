"""Writes the dashboards: `python -m deploy.grafana.dashboards [FOLDER]`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.model import model
from deploy.grafana.service import service

FOLDER: Final = Path(__file__).parent / "dashboards"
BOARDS: Final[Mapping[str, Callable[[], Dashboard]]] = {"model": model, "service": service}


def text(board: Dashboard) -> str:
    """Return a dashboard as Grafana reads it."""
    return JSONEncoder(sort_keys=True, indent=2).encode(board) + "\n"


def write(folder: Path = FOLDER) -> list[Path]:
    """Write every dashboard, and return where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, make in BOARDS.items():
        path = folder / f"{name}.json"
        path.write_text(text(make()), encoding="utf-8")
        written.append(path)
    return written


if __name__ == "__main__":
    for path in write(*map(Path, sys.argv[1:2])):
        sys.stderr.write(f"{path}\n")
