"""An API whose log cannot be written answers nothing, and goes on when it can be again."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import httpx
import pytest

from crimeguard.settings import Settings
from tests.faults.served import INCIDENT, Served, missing, served
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


def test_without_its_records_it_does_not_start(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "records.db").write_text("x" * 10_000)
    with pytest.raises(AssertionError, match="not a database"):
        Served(tiny_bundle, Settings(home=tmp_path))
