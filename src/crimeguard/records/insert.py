"""Writing rows of the prediction log, the quickest way that the driver has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from crimeguard.records.database import Database
from crimeguard.records.entry import Entries, Entry

# Rows of one statement. The driver lets other threads run while SQLite works and then waits
# for its turn again, so one statement a row would wait thousands of times beside a busy thread.
_TOGETHER: Final = 1024
_ALONE: Final = 64  # rows up to which a statement of exactly so many is prepared
_COPY_FROM: Final = 50  # rows from which PostgreSQL's COPY is quicker than INSERT
_WIDTH: Final = len(Entry._fields)
_INTO: Final = f"prediction ({', '.join(Entry._fields)})"
_COPY: Final = f"COPY {_INTO} FROM STDIN (FORMAT BINARY)"
_TYPES: Final = {"made_at": "int8", "level": "int2", "confidence": "float8",
                 "probabilities": "bytea"}  # fmt: skip
_COPY_TYPES: Final = tuple(_TYPES.get(name, "text") for name in Entry._fields)


def write(database: Database, parts: Sequence[Sequence[Entry]]) -> None:
    """Commit the rows of all parts in one transaction; SQLAlchemyError if they are refused."""
    rows = sum(map(len, parts))
    if database.is_sqlite and rows <= _ALONE:
        database.alone(_statement(rows, "?"), _values(parts))
        return
    with database.transaction() as connection:
        insert(connection, parts)


def insert(connection: Connection, parts: Iterable[Sequence[Entry]]) -> None:
    """Insert the rows of all parts; SQLAlchemyError if they are refused."""
    parts = list(parts)
    rows = sum(map(len, parts))
    if connection.dialect.name == "sqlite":
        _insert(connection, parts, "?")
    elif rows < _COPY_FROM:
        _insert(connection, parts, "%s")
    else:
        _copy(connection, parts)


def _insert(connection: Connection, parts: Sequence[Sequence[Entry]], mark: str) -> None:
    values = _values(parts)
    start = 0
    while start < len(values):
        # Halves of halves, so that few statements are ever prepared.
        rows = min(_TOGETHER, 1 << ((len(values) - start) // _WIDTH).bit_length() - 1)
        stop = start + rows * _WIDTH
        connection.exec_driver_sql(_statement(rows, mark), tuple(values[start:stop]))
        start = stop


def _values(parts: Iterable[Sequence[Entry]]) -> list[object]:
    values: list[object] = []
    for part in parts:
        values += part.flat() if isinstance(part, Entries) else chain.from_iterable(part)
    return values


@lru_cache(maxsize=128)
def _statement(rows: int, mark: str) -> str:
    one = f"({', '.join([mark] * _WIDTH)})"
    return f"INSERT INTO {_INTO} VALUES {', '.join([one] * rows)}"  # noqa: S608 -- our own names


def _copy(connection: Connection, parts: Sequence[Sequence[Entry]]) -> None:
    import psycopg

    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)  # noqa: S101 -- the only other driver
    try:
        with raw.cursor() as cursor, cursor.copy(_COPY) as copy:
            copy.set_types(_COPY_TYPES)
            for row in chain.from_iterable(_rows(part) for part in parts):
                copy.write_row(row)
    except psycopg.OperationalError as error:
        connection.invalidate(error)
        raise OperationalError("COPY prediction", None, error) from error
    except psycopg.Error as error:
        raise SQLAlchemyError(str(error).splitlines()[0]) from error


def _rows(part: Sequence[Entry]) -> Iterable[Sequence[Any]]:
    return zip(*part.columns, strict=True) if isinstance(part, Entries) else part
