from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy.exc import SQLAlchemyError

from crimeguard.records import insert as inserting
from crimeguard.records.database import Database
from crimeguard.records.entry import Entry, entries_of
from crimeguard.records.insert import insert, write
from tests.records.rows import BUNDLE, entries


def stored(database: Database) -> list[Entry]:
    names = ", ".join(Entry._fields)
    with database.reading() as connection:
        rows = connection.exec_driver_sql(f"SELECT {names} FROM prediction ORDER BY id")
        return [
            Entry._make(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in rows
        ]


@pytest.mark.parametrize("rows", [1, 2, 7, 8, 49, 50, 51])
def test_rows_arrive_whole_in_whatever_parts_they_come(
    database: Database, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inserting, "_TOGETHER", 8)
    rng = np.random.default_rng(rows)
    columns = entries_of(
        rng.dirichlet(np.ones(15), rows), rng.integers(0, 3, rows), ["{}"] * rows, bundle=BUNDLE,
        dr_no=[None, *(str(number) for number in range(1, rows))],
    )  # fmt: skip
    single = entries(3)
    with database.transaction() as connection:
        insert(connection, [columns[:1], single[:1], columns[1:], single[1:]])
    assert stored(database) == sorted([*columns, *single])


def test_few_statements_are_prepared(monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
    monkeypatch.setattr(inserting, "_TOGETHER", 16)
    asked: list[int] = []

    def noted(rows: int, mark: str) -> str:
        asked.append(rows)
        return _statement(rows, mark)

    _statement = inserting._statement
    monkeypatch.setattr(inserting, "_statement", noted)
    with database.transaction() as connection:
        inserting._insert(connection, [entries(45)], "?" if database.is_sqlite else "%s")
    assert asked == [16, 16, 8, 4, 1]


def test_what_the_database_refuses_is_refused_as_a_whole(database: Database) -> None:
    rows = entries(100)
    with pytest.raises(SQLAlchemyError), database.transaction() as connection:
        insert(connection, [rows, rows[:1]])
    assert stored(database) == []


@pytest.mark.parametrize("rows", [1, 5, 64, 65])
def test_few_rows_and_many_are_written_as_one_transaction(database: Database, rows: int) -> None:
    mine = entries(rows)
    write(database, [mine[: rows // 2], mine[rows // 2 :]])
    assert stored(database) == sorted(mine)
    fresh = entries(rows)
    with pytest.raises(SQLAlchemyError):
        write(database, [fresh, mine[:1]])
    assert stored(database) == sorted(mine)
