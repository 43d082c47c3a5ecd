import base64
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from crimeguard.cli import health
from crimeguard.cli.health import Outcome
from crimeguard.settings import Settings
from tests.ingest.stores import PASSWORD, USER, free_port, stand_in
from tests.records.postgres import Postgres


class Answer(BaseHTTPRequestHandler):
    """An MLflow server as far as the doctor asks it; the real one takes a minute to start."""

    def do_GET(self) -> None:
        expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        known = self.headers.get("Authorization") == f"Basic {expected}"
        foreign = not self.headers["Host"].startswith("127.0.0.1")
        if self.path == "/health":
            status = 200
        elif foreign:
            status = 403
        else:
            status = 200 if known else 401
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def mlflow() -> Iterator[Settings]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield Settings(
            mlflow_tracking_uri=f"http://127.0.0.1:{server.server_port}",
            mlflow_tracking_username=USER,
            mlflow_tracking_password=PASSWORD,
        )
        server.shutdown()
        thread.join()


def only(outcomes: Iterable[Outcome]) -> Outcome:
    (outcome,) = outcomes
    assert PASSWORD not in str(outcome)
    assert "wrong-horse" not in str(outcome)
    return outcome


def test_an_mlflow_with_users_must_know_us(mlflow: Settings) -> None:
    assert only(health.check_registry(mlflow)).status == "ok"
    wrong = replace(mlflow, mlflow_tracking_password="wrong-horse")
    for unknown in (wrong, replace(mlflow, mlflow_tracking_username="")):
        outcome = only(health.check_registry(unknown))
        assert outcome.status == "fail"
        assert "MLFLOW_TRACKING_PASSWORD" in outcome.fix
    alias = mlflow.mlflow_tracking_uri.replace("127.0.0.1", "localhost")
    outcome = only(health.check_registry(replace(mlflow, mlflow_tracking_uri=alias)))
    assert outcome.status == "fail"
    assert "MLFLOW_SERVER_ALLOWED_HOSTS" in outcome.fix


def test_a_database_of_records_must_know_us(postgres: Postgres) -> None:
    url = postgres.new_database()
    assert only(health.check_records(Settings(records_url=url))).status == "ok"
    with_driver = url.replace("postgresql://", "postgresql+psycopg://")
    assert only(health.check_records(Settings(records_url=with_driver))).status == "ok"
    before, _, host = url.rpartition("@")
    wrong = f"{before.rpartition(':')[0]}:wrong-horse@{host}"
    outcome = only(health.check_records(Settings(records_url=wrong)))
    assert outcome.status == "fail"
    assert "password authentication failed" in outcome.found
    assert "CRIMEGUARD_RECORDS_URL" in outcome.fix
    down = f"postgresql://u:wrong-horse@127.0.0.1:{free_port()}/records"
    assert only(health.check_records(Settings(records_url=down))).status == "fail"


def test_a_remote_of_snapshots_must_know_us(tmp_path: Path) -> None:
    assert not list(health.check_remote(Settings()))
    with stand_in() as server:
        settings = Settings(dvc_url=server.url, dvc_user=USER, dvc_password=PASSWORD)
        assert only(health.check_remote(settings)).status == "ok"
        outcome = only(health.check_remote(replace(settings, dvc_password="wrong-horse")))
        assert outcome.status == "fail"
        assert "401" in outcome.found
        assert "CRIMEGUARD_DVC_PASSWORD" in outcome.fix
    assert only(health.check_remote(settings)).status == "fail"
    assert only(health.check_remote(Settings(dvc_url=str(tmp_path)))).status == "ok"
    assert only(health.check_remote(Settings(dvc_url=str(tmp_path / "none")))).status == "fail"
