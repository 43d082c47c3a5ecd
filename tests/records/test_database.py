from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from crimeguard.domain.errors import RecordsError
from crimeguard.records import migrations
from crimeguard.records.database import Database, open_database
from crimeguard.records.tables import METADATA
from crimeguard.settings import Settings
from tests.records.postgres import PASSWORD

OPEN = """
import sys
from pathlib import Path
from crimeguard.records.database import open_database
from crimeguard.settings import Settings
sys.stdin.readline()
open_database(Settings(home=Path(sys.argv[1]), records_url=sys.argv[2])).close()
"""


def test_the_migrations_make_the_tables_that_the_code_uses(database: Database) -> None:
    found = inspect(database.engine)
    for name, table in METADATA.tables.items():
        columns = {column["name"]: column for column in found.get_columns(name)}
        assert list(columns) == [column.name for column in table.columns]
        for column in table.columns:
            assert columns[column.name]["nullable"] == column.nullable, column
            assert str(columns[column.name]["type"]) == column.type.compile(
                database.engine.dialect
            ), column
        assert {index["name"] for index in found.get_indexes(name)} == {
            index.name for index in table.indexes
        }


def test_the_newest_step_is_the_one_that_the_code_knows() -> None:
    script = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert script.get_current_head() == migrations.HEAD


def test_a_second_opening_finds_what_the_first_wrote(
    open_records: Callable[[], Database],
) -> None:
    first = open_records()
    with first.writing() as connection:
        connection.execute(
            text("INSERT INTO label (prediction_id, category, source, labelled_at) "
                 "VALUES ('x', 'theft', 'test', 1)")
        )  # fmt: skip
    with open_records().reading() as connection:
        assert connection.execute(text("SELECT category FROM label")).scalar() == "theft"


def test_several_processes_may_open_it_for_the_first_time_at_once(
    records_settings: Settings,
) -> None:
    words = [sys.executable, "-W", "error", "-c", OPEN, str(records_settings.home),
             records_settings.records_url]  # fmt: skip
    processes = [
        subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    database = open_database(records_settings)
    with database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM records_version")).scalar() == 1
    database.close()


def test_several_threads_may_open_it_for_the_first_time_at_once(
    open_records: Callable[[], Database],
) -> None:
    barrier = threading.Barrier(4)

    def opens() -> bool:
        barrier.wait(10)
        return inspect(open_records().engine).has_table("ledger")

    with ThreadPoolExecutor(4) as pool:
        assert all(item.result() for item in [pool.submit(opens) for _ in range(4)])


def test_records_of_a_newer_version_are_refused_in_words(
    records_settings: Settings, database: Database
) -> None:
    with database.writing() as connection:
        connection.execute(text("UPDATE records_version SET version_num = '9999'"))
    with pytest.raises(RecordsError, match=r"version 9999.*newer.*Update CrimeGuard"):
        open_database(records_settings)


def test_a_failing_migration_leaves_nothing_behind(
    records_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(records_settings.records_uri)
    records_settings.home.mkdir()
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE ledger (stands_in_the_way INTEGER)"))
    with pytest.raises(RecordsError, match="ledger"):
        database.migrate()
    assert inspect(database.engine).get_table_names() == ["ledger"]
    with database.writing() as connection:
        connection.execute(text("DROP TABLE ledger"))
    database.migrate()
    assert inspect(database.engine).has_table("prediction")
    database.close()


def test_a_transaction_that_fails_changes_nothing(database: Database) -> None:
    row = (
        "INSERT INTO label (prediction_id, category, source, labelled_at) VALUES ('x', 'y', 'z', 1)"
    )

    def fails_half_way() -> None:
        with database.writing() as connection:
            connection.execute(text(row))
            connection.execute(text("INSERT INTO nowhere VALUES (1)"))

    with pytest.raises(RecordsError, match="nowhere"):
        fails_half_way()
    with database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM label")).scalar() == 0


def test_writers_wait_for_each_other(open_records: Callable[[], Database]) -> None:
    """Every writer reads first: what would be refused at once if it took its turn late."""

    def writes(database: Database) -> None:
        for _ in range(20):
            with database.writing() as connection:
                connection.execute(text("SELECT count(*) FROM label")).scalar()
                connection.execute(
                    text("INSERT INTO label (prediction_id, category, source, labelled_at) "
                         "VALUES ('x', 'theft', 'test', 1)")
                )  # fmt: skip

    databases = [open_records() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(writes, item) for item in databases]:
            done.result()
    with databases[0].reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM label")).scalar() == 80


def test_a_reader_does_not_stand_in_a_writers_way(open_records: Callable[[], Database]) -> None:
    reader, writer = open_records(), open_records()
    count = text("SELECT count(*) FROM label")
    row = text("INSERT INTO label (prediction_id, category, source, labelled_at) "
               "VALUES ('x', 'theft', 'test', 1)")  # fmt: skip
    with reader.reading() as connection:
        before = connection.execute(count).scalar()
        with writer.writing() as other:
            other.execute(row)
        assert before == 0
    with reader.reading() as connection:
        assert connection.execute(count).scalar() == 1


@pytest.mark.parametrize(
    "url", ["mysql://localhost/x", "http://localhost", "nonsense", "://", "sqlite+aiosqlite:///x"]
)
def test_other_addresses_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match="CRIMEGUARD_RECORDS_URL"):
        open_database(Settings(home=tmp_path, records_url=url))


def test_a_server_that_is_not_there_is_named_without_the_password() -> None:
    settings = Settings(records_url="postgresql://me:hush-hush@127.0.0.1:1/records")
    with pytest.raises(RecordsError, match=r"127\.0\.0\.1:1") as refused:
        open_database(settings)
    assert "hush-hush" not in str(refused.value)
    assert "me:***@" in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_password_never_appears(records_settings: Settings) -> None:
    if not records_settings.records_url:
        pytest.skip("SQLite has none")
    database = open_database(records_settings)
    wrong = records_settings.records_url.replace("%2F", "-")
    for found in (database.url, repr(database.engine.url)):
        assert PASSWORD not in found
        assert "cret" not in found
    with pytest.raises(RecordsError, match="password authentication failed") as refused:
        open_database(Settings(records_url=wrong))
    assert "cret" not in str(refused.value)
    database.close()


def test_a_file_that_is_no_database_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "records.db").write_text("x" * 10_000)
    with pytest.raises(RecordsError, match=r"records\.db.*not a database"):
        open_database(Settings(home=tmp_path))


def test_a_folder_that_cannot_be_made_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecordsError, match="cannot be made"):
        open_database(Settings(home=tmp_path / "file" / "home"))


def test_a_file_kept_by_another_program_is_refused_in_words(tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    path = tmp_path / "records.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RecordsError, match=r"records\.db"):
            open_database(Settings(home=tmp_path), patience=0.2)


def test_it_opens_without_loading_alembic_once_it_is_up_to_date(tmp_path: Path) -> None:
    open_database(Settings(home=tmp_path)).close()
    code = (
        f"from pathlib import Path\n{OPEN.split('sys.stdin')[0]}"
        "open_database(Settings(home=Path(sys.argv[1]))).close()\n"
        "print('alembic' in sys.modules, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True,
                          text=True, check=True)  # fmt: skip
    assert done.stdout.split() == ["False", "False"]


def test_predictions_of_the_first_form_come_through(
    records_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "upgrade", partial(_only_to, "0001", command.upgrade))
    old = Database(records_settings.records_uri)
    records_settings.home.mkdir()
    old.migrate()
    with old.writing() as connection:
        connection.execute(
            text("INSERT INTO prediction (id, made_at, bundle, variant, level, category, "
                 "confidence, probabilities, input) VALUES (:id, 1, 'b', 'champion', 2, 'theft', "
                 "0.5, :shares, '{}')"), {"id": "1" * 32, "shares": b"0" * 120},
        )  # fmt: skip
    old.close()
    monkeypatch.undo()
    database = open_database(records_settings)
    with database.reading() as connection:
        (row,) = connection.execute(text("SELECT id, experiment, answered_id FROM prediction"))
        assert tuple(row) == ("1" * 32, None, None)
    database.close()


def _only_to(revision: str, upgrade: Callable[..., None], config: Config, _: str) -> None:
    upgrade(config, revision)
