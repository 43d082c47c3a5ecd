"""SQLite, a statement at a time, each its own transaction.

Begun, written and made safe in one call of the driver, where a transaction needs three. After
each call a thread waits for its turn among the others, and the event loop is always busy when
answers wait for the log.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import PoolProxiedConnection

Identity = tuple[int, int]


class Alone:
    """Keeps one connection of an engine for itself; for one thread at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._path = engine.url.database
        self._kept: PoolProxiedConnection | None = None
        self._file: Identity | None = None

    def execute(self, statement: str, values: Sequence[object]) -> None:
        """Execute and commit; DBAPIError, as the engine itself would raise, if it fails."""
        try:
            self._connection().execute(statement, values)
        except sqlite3.Error as error:
            self.close()
            raise DBAPIError.instance(
                statement, None, error, sqlite3.Error, hide_parameters=True
            ) from error

    def close(self) -> None:
        """Give the connection back."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _connection(self) -> sqlite3.Connection:
        # A file that was removed goes on taking rows, which nobody will ever read.
        if self._kept is not None and identity(self._path) != self._file:
            self.close()
        if self._kept is None:
            self._kept = self._engine.raw_connection()
            self._file = identity(self._path)
        connection = self._kept.driver_connection
        assert isinstance(connection, sqlite3.Connection)  # noqa: S101 -- no other driver
        return connection


def identity(path: str | None) -> Identity | None:
    """Tell files apart that stand at one path after each other; None if there is none."""
    try:
        found = os.stat(path or "")  # noqa: PTH116 -- asked before each group; half the time
    except OSError:
        return None
    return found.st_dev, found.st_ino
