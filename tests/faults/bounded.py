"""The real API on records that a file bounds: `python -m tests.faults.bounded`.

CRIMEGUARD_HOME/pragma holds a pragma that every transaction begins with, such as
`max_page_count=1`: SQLite then has no room beyond the pages that are there.
"""

from __future__ import annotations

import sqlite3
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, event

from crimeguard.records.alone import Alone
from crimeguard.serve import server
from crimeguard.settings import Settings

PROGRAM: Final = "tests.faults.bounded"


def bound(home: Path, pragma: str) -> None:
    """Let every transaction from now on begin with another pragma."""
    new = home / ".pragma"
    new.write_text(pragma)
    new.replace(home / "pragma")


def main() -> None:
    """Serve until told to end, as `crimeguard serve` does."""
    settings = replace(Settings.load(), port=0)

    @event.listens_for(Engine, "begin")
    def begins(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA {(settings.home / 'pragma').read_text()}")

    own = Alone._connection

    def bounded(self: Alone) -> sqlite3.Connection:
        connection = own(self)
        connection.execute(f"PRAGMA {(settings.home / 'pragma').read_text()}")
        return connection

    Alone._connection = bounded  # type: ignore[method-assign]
    server.run(
        settings, bundle=Path(settings.bundle),
        on_listen=lambda url: print(f"answers at {url}", file=sys.stderr),  # noqa: T201
    )  # fmt: skip


if __name__ == "__main__":
    main()
