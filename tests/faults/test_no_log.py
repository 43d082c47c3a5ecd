"""An API whose log cannot be written answers nothing, and goes on when it can be again."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import httpx
import pytest

from crimeguard.settings import Settings
from tests.faults.bounded import PROGRAM, bound
from tests.faults.served import INCIDENT, Served, missing, served
from tests.faults.test_worker_processes import CALLERS, Callers, until
from tests.records.postgres import Postgres
from tests.serve.test_routes_predict import problem_of


def ask(running: Served) -> httpx.Response:
    return httpx.post(f"{running.address}/predict", json=INCIDENT, timeout=30)


def refused(running: Served) -> None:
    """Check that nothing is answered, on either path, in the form of a problem."""
    batch = httpx.post(f"{running.address}/predict/batch", json=[INCIDENT] * 3, timeout=30)
    for answer in (ask(running), batch):
        problem_of(answer, 503, "no-log")
        assert int(answer.headers["Retry-After"]) > 0
    assert httpx.get(f"{running.address}/livez").status_code == 200


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can bound another process's files")
def test_a_disk_that_is_full(tiny_bundle: Path, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    known = set()
    with served(tiny_bundle, settings) as running:
        known.add(ask(running).json()["prediction_id"])
        pid = running.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
        refused(running)
        assert missing(settings, known) == set()
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        known |= {ask(running).json()["prediction_id"] for _ in range(3)}
    assert running.process.returncode == 0
    assert "Traceback" not in running.errors
    assert len(known) == 4
    assert missing(settings, known) == set()


@pytest.mark.parametrize(
    ("bounded", "free"),
    [
        ("max_page_count=1", "max_page_count=1073741823"),
        ("query_only=ON", "query_only=OFF"),
    ],
    ids=["full", "not to be written to"],
)
def test_records_that_take_nothing_more_and_then_do(
    tiny_bundle: Path, tmp_path: Path, bounded: str, free: str
) -> None:
    bound(tmp_path, free)
    settings = Settings(home=tmp_path, bundle=str(tiny_bundle))
    with served(None, settings, program=PROGRAM) as running:
        known = {ask(running).json()["prediction_id"]}
        bound(tmp_path, bounded)
        # There is room for some rows in the pages that are there.
        while (answer := ask(running)).is_success:
            known.add(answer.json()["prediction_id"])
            assert len(known) < 1_000
        refused(running)
        assert missing(settings, known) == set()
        bound(tmp_path, free)
        for _ in range(3):
            known.add(ask(running).json()["prediction_id"])
        batch = httpx.post(f"{running.address}/predict/batch", json=[INCIDENT] * 3, timeout=30)
        known |= {row["prediction_id"] for row in batch.json()["predictions"]}
    assert running.process.returncode == 0
    assert "Traceback" not in running.errors
    assert running.errors.count("predictions cannot be logged") == 1
    assert missing(settings, known) == set()


def test_records_that_are_moved_away_and_come_back(tiny_bundle: Path, tmp_path: Path) -> None:
    settings, away = Settings(home=tmp_path / "home"), tmp_path / "away"
    away.mkdir()

    def move(start: Path, to: Path) -> None:
        for file in start.glob("records.db*"):
            file.rename(to / file.name)

    with served(tiny_bundle, settings) as running:
        known = {ask(running).json()["prediction_id"]}
        move(settings.home, away)
        refused(running)
        for file in settings.home.glob("records.db*"):
            file.unlink()  # what was made in its place holds nothing
        move(away, settings.home)
        known |= {ask(running).json()["prediction_id"] for _ in range(3)}
    assert running.process.returncode == 0
    assert "Traceback" not in running.errors
    assert len(known) == 4
    assert missing(settings, known) == set()


def test_a_server_of_records_that_goes_and_comes_back(
    postgres: Postgres, tiny_bundle: Path, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, records_url=postgres.new_database())
    with served(tiny_bundle, settings) as running:
        known = {ask(running).json()["prediction_id"]}
        postgres.stop()
        try:
            refused(running)
        finally:
            postgres.start()
        known |= {ask(running).json()["prediction_id"] for _ in range(3)}
    assert "Traceback" not in running.errors
    assert len(known) == 4
    assert missing(settings, known) == set()


@pytest.mark.slow
def test_a_server_of_records_that_goes_under_load_and_comes_back(
    postgres: Postgres, tiny_bundle: Path, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, records_url=postgres.new_database())
    with served(tiny_bundle, settings) as running, Callers(running.address) as callers:
        for _ in range(2):
            callers.go_on()
            callers.statuses.clear()
            postgres.stop()
            try:
                until(lambda: 503 in callers.statuses, "a refusal")
                # From the first refusal on: what was on its way before may still be answered.
                known = len(callers.acknowledged)
                assert httpx.get(f"{running.address}/livez").status_code == 200
                time.sleep(0.5)
                assert len(callers.acknowledged) - known <= CALLERS
            finally:
                postgres.start()
            callers.go_on()
            assert callers.statuses <= {200, 503}
    assert running.process.returncode == 0
    assert "Traceback" not in running.errors
    assert callers.broken == 0
    assert missing(settings, callers.acknowledged) == set()


def test_without_its_records_it_does_not_start(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "records.db").write_text("x" * 10_000)
    with pytest.raises(AssertionError, match="not a database"):
        Served(tiny_bundle, Settings(home=tmp_path))
