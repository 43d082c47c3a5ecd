"""Fixtures over both databases, for every test that needs records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crimeguard.records.database import Database, open_database
from crimeguard.settings import Settings
from tests.records.postgres import Postgres, binaries, reason_to_skip


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL a session; the test is skipped where it is not installed."""
    reason, folder = reason_to_skip(), binaries()
    if reason or folder is None:
        pytest.skip(reason)
    server = Postgres(folder)
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def records_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings that name an empty database, once of each kind."""
    if request.param == "sqlite":
        return Settings(home=tmp_path / "home")
    server: Postgres = request.getfixturevalue("postgres")
    return Settings(home=tmp_path / "home", records_url=server.new_database())


@pytest.fixture
def open_records(records_settings: Settings) -> Iterator[Callable[[], Database]]:
    """Return what opens the records, as another process would; closed at the end."""
    opened: list[Database] = []

    def opens() -> Database:
        opened.append(open_database(records_settings))
        return opened[-1]

    yield opens
    for database in opened:
        database.close()


@pytest.fixture
def database(open_records: Callable[[], Database]) -> Database:
    """An empty database, once of each kind."""
    return open_records()
