"""One SQL database for everything that the loop remembers: SQLite by default, or PostgreSQL."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import ConnectionPoolEntry

from crimeguard.domain.errors import RecordsError
from crimeguard.records.alone import Alone, identity
from crimeguard.records.migrations import HEAD, VERSION_TABLE
from crimeguard.settings import Settings

PATIENCE: Final = 10.0  # seconds to wait for another writer, or for a server
_DRIVERS: Final = {
    "sqlite": "sqlite+pysqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
_CREDENTIALS: Final = re.compile(r"://[^/\s]*@")
_MIGRATION_LOCK: Final = 0x4372696D65  # any number that nobody else uses
# Alembic keeps what it runs in variables of its module.
_migrating: Final = Lock()


class Database:
    """The records, opened; its tables are those of `records.tables`.

    Parameters
    ----------
    url
        A SQLAlchemy URL of SQLite or PostgreSQL. RecordsError if it is none.
    patience
        Seconds to wait for another process that writes, or for a server to answer.
    """

    def __init__(self, url: str, *, patience: float = PATIENCE) -> None:
        parsed = _parse(url)
        self._password = parsed.password
        self._patience = patience
        kind = parsed.get_backend_name()
        self.url: str = parsed.set(drivername=kind).render_as_string(hide_password=True)
        self.is_sqlite: bool = kind == "sqlite"
        self.engine: Engine = _sqlite(parsed, patience) if self.is_sqlite else _postgresql(parsed)
        self._alone = Alone(self.engine)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that sees one state of the records; RecordsError if it fails."""
        with self._explained(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that is committed at the end; RecordsError if it fails."""
        with self._explained(), self.transaction() as connection:
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a transaction for writing; the library's own errors come through."""
        with self.engine.connect() as plain:
            connection = plain.execution_options(writes=True)
            with connection.begin():
                yield connection

    def alone(self, statement: str, values: Sequence[object]) -> None:
        """Execute one statement as a transaction of its own; of SQLite, from one thread.

        The library's own errors come through.
        """
        self._alone.execute(statement, values)

    def close(self) -> None:
        """Close every connection."""
        self._alone.close()
        self.engine.dispose()

    def explain(self, error: SQLAlchemyError) -> RecordsError:
        """Turn a library's error into ours, without statements, values or a password."""
        cause = getattr(error, "orig", None) or error
        reason = (str(cause).splitlines() or [""])[0].strip().rstrip(".")
        reason = _CREDENTIALS.sub("://***@", reason)
        if self._password:
            reason = reason.replace(self._password, "***")
        return RecordsError(
            f"The records in {self.url} cannot be used.", why=f"{reason}.",
            fix="Check that the database runs, has room and may be written to; "
            "CRIMEGUARD_RECORDS_URL names it.",
        )  # fmt: skip

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, PoolTimeoutError) as error:
            # Not every error of the library: a statement of ours that is wrong is a bug.
            raise self.explain(error) from None

    def migrate(self) -> None:
        """Bring the tables to the newest form; several processes may do so at once."""
        with self.reading() as connection:
            found = _version(connection)
        if found == HEAD:
            return
        if self.is_sqlite:
            self._write_ahead()
        with self.writing() as connection:
            if not self.is_sqlite:
                connection.execute(
                    text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK}
                )
            if _version(connection) != HEAD:
                _upgrade(connection, self.url)

    def _write_ahead(self) -> None:
        """Let readers and a writer work side by side; kept in the file for good.

        The switch needs the file for itself and does not wait for it by itself.
        """
        end = time.monotonic() + self._patience
        while True:
            try:
                with self.engine.connect() as connection:
                    raw = connection.connection.driver_connection
                    assert isinstance(raw, sqlite3.Connection)  # noqa: S101 -- is_sqlite
                    raw.execute("PRAGMA page_size=8192")
                    raw.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError:
                if time.monotonic() > end:
                    raise RecordsError(
                        f"The records in {self.url} cannot be opened.",
                        why="Another program keeps the file to itself.",
                        fix="End that program.",
                    ) from None
                time.sleep(0.05)
            else:
                return


def open_database(settings: Settings, *, patience: float = PATIENCE) -> Database:
    """Open the records that the settings name, and bring their tables up to date.

    Raises RecordsError if there is no such database, if it cannot be used, or if a newer
    CrimeGuard has written it.
    """
    if not settings.records_url:
        _make_folder(settings.home)
    database = Database(settings.records_uri, patience=patience)
    try:
        database.migrate()
    except BaseException:
        database.close()
        raise
    return database


def _make_folder(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordsError(f"The folder {home} cannot be made.", why=f"{error.strerror}.",
                           fix="Set CRIMEGUARD_HOME to a folder of yours.") from None  # fmt: skip


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        parsed = parsed.set(drivername=_DRIVERS[parsed.drivername])
    except (ArgumentError, KeyError, ValueError):
        raise RecordsError(
            "CRIMEGUARD_RECORDS_URL is no address of a database that is used here.",
            why="It begins with neither sqlite:/// nor postgresql://, or cannot be read.",
            fix="Set it to postgresql://user:password@host/name, or unset it for a file in "
            "CRIMEGUARD_HOME.",
        ) from None
    return parsed


def _postgresql(url: URL) -> Engine:
    return create_engine(
        url, hide_parameters=True, pool_pre_ping=True,
        connect_args={"connect_timeout": 5, "application_name": "crimeguard"},
    )  # fmt: skip


def _sqlite(url: URL, patience: float) -> Engine:
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": patience})

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
        # The driver would open transactions where it sees fit; we say where.
        connection.isolation_level = None
        # NORMAL would outlive a killed process as well; FULL also outlives a power cut.
        # Measured here, it costs 0.3 ms a group (0.07 against 0.33 ms for one row, 4.4
        # against 5.3 ms for a thousand): worth it, since the answers wait in groups.
        connection.execute("PRAGMA synchronous=FULL")
        # With larger pages and rarer checkpoints 148,000 rows/s instead of 88,000.
        connection.execute("PRAGMA wal_autocheckpoint=4000")
        connection.execute("PRAGMA cache_size=-16000")
        record.info["file"] = identity(url.database)

    @event.listens_for(engine, "checkout")
    def _taken(_: sqlite3.Connection, record: ConnectionPoolEntry, __: Any) -> None:
        # A file that was removed goes on taking rows, which nobody will ever read.
        if record.info["file"] != identity(url.database):
            raise DisconnectionError("the file is no longer the one that was opened")

    @event.listens_for(engine, "begin")
    def _began(connection: Connection) -> None:
        # A writer takes its turn before it reads: one that has read first and then finds
        # another's write is refused at once, however patient it is.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    row = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).first()  # noqa: S608
    return None if row is None else str(row[0])


def _upgrade(connection: Connection, url: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    folder = Path(__file__).parent / "migrations"
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {item.revision for item in ScriptDirectory.from_config(config).walk_revisions()}
    found = _version(connection)
    if found not in {None, *known}:
        raise RecordsError(
            f"The records in {url} are of version {found}.",
            why=f"This CrimeGuard knows versions up to {HEAD}; a newer one has written them.",
            fix="Update CrimeGuard, or name another database with CRIMEGUARD_RECORDS_URL.",
        )
    with _migrating:
        command.upgrade(config, "head")
