"""An API that is killed under load: what it has acknowledged is in the log."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from crimeguard.settings import Settings
from tests.faults.served import INCIDENT, Load, killed_under_load, missing, served
from tests.records.postgres import Postgres


@pytest.mark.slow
def test_three_kills_lose_nothing(tiny_bundle: Path, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    acknowledged: set[str] = set()
    for seconds in (0.1, 0.4, 0.7):
        known = killed_under_load(tiny_bundle, settings, seconds)
        assert len(known) >= 20
        acknowledged |= known
    assert missing(settings, acknowledged) == set()


@pytest.mark.slow
def test_a_kill_loses_nothing_in_postgresql(
    postgres: Postgres, tiny_bundle: Path, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, records_url=postgres.new_database())
    acknowledged = killed_under_load(tiny_bundle, settings, 0.4)
    assert len(acknowledged) >= 20
    assert missing(settings, acknowledged) == set()


def test_being_asked_to_end_under_load_loses_nothing(tiny_bundle: Path, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with served(tiny_bundle, settings) as running:
        load = Load(running.address)
        load.start()
        while len(load.acknowledged) < 50:
            httpx.post(f"{running.address}/predict", json=INCIDENT)
        running.end()
        load.join()
    assert running.process.returncode == 0
    assert "Traceback" not in running.errors
    assert missing(settings, load.acknowledged) == set()
