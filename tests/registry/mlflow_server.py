"""An MLflow server as a team runs it: basic auth, PostgreSQL, artifacts through it in S3."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.ingest.stores import S3, free_port, wait_for
from tests.records.postgres import Postgres

ADMIN, PASSWORD = "keeper", "Lantern-4-river"


@dataclass(frozen=True)
class MlflowServer:
    """Where it listens; its administrator is ADMIN with PASSWORD."""

    uri: str
    bucket: str


@contextmanager
def mlflow_server(postgres: Postgres, s3: S3, folder: Path) -> Iterator[MlflowServer]:
    """Run one; it makes its tables first, which takes it 10 to 60 seconds."""
    port, (bucket,) = free_port(), s3.buckets
    auth = folder / "auth.ini"
    auth.write_text(
        "[mlflow]\n"
        "default_permission = READ\n"
        f"database_uri = {_driver(postgres.new_database()).replace('%', '%%')}\n"
        f"admin_username = {ADMIN}\n"
        # Else every request pays for a slow hash, and a registration is some 130 requests.
        "auth_cache_ttl_seconds = 60\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        "MLFLOW_AUTH_CONFIG_PATH": str(auth),
        "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN,
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "only-for-these-tests",
        "MLFLOW_SERVER_ALLOWED_HOSTS": f"127.0.0.1:{port}",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        # A version's source is the logged model that it was made of.
        "MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX": "^(mlflow-artifacts|models):/.*$",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_S3_ENDPOINT_URL": s3.endpoint,
        "AWS_ACCESS_KEY_ID": s3.key,
        "AWS_SECRET_ACCESS_KEY": s3.secret,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    uri = f"http://127.0.0.1:{port}"
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("mlflow")), "server", "--app-name", "basic-auth",
             "--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--serve-artifacts",
             "--artifacts-destination", f"s3://{bucket}/artifacts",
             "--backend-store-uri", _driver(postgres.new_database())],
            env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=folder,
        )  # fmt: skip
    try:
        wait_for(f"{uri}/health", process, seconds=150)
        yield MlflowServer(uri, bucket)
    finally:
        process.terminate()
        process.wait(timeout=60)


def _driver(url: str) -> str:
    """Name the driver that we install; SQLAlchemy's default is another."""
    return url.replace("postgresql://", "postgresql+psycopg://")
