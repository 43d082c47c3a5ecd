"""How `crimeguard doctor` asks servers whether they are there and know us."""

from __future__ import annotations

import re
from typing import Final

import httpx

from crimeguard.domain.errors import CrimeGuardError
from crimeguard.settings import Settings

PATIENCE: Final = 2  # seconds for a server to answer
# The cheapest question that a server with users does not answer to strangers.
_QUESTION: Final = "/api/2.0/mlflow/experiments/search?max_results=1"

# What is wrong and what to do about it; both are empty if nothing is.
Problem = tuple[str, str]


def ask_mlflow(settings: Settings) -> Problem:
    """Ask an MLflow server for its health, and for something that only its users get."""
    base = settings.mlflow_tracking_uri.rstrip("/")
    user, password = settings.mlflow_tracking_username, settings.mlflow_tracking_password
    try:
        with httpx.Client(timeout=PATIENCE, trust_env=False) as client:
            if client.get(f"{base}/health").status_code != 200:
                return "it is not well", "Look at the server's log."
            # An address with a user in it is a way to name one as well.
            auth = (user, password) if user else None
            status = client.get(base + _QUESTION, auth=auth).status_code
    except (httpx.HTTPError, httpx.InvalidURL):
        return "no answer", "Check MLFLOW_TRACKING_URI, and that the server runs."
    if status == 401:
        return "it refuses user and password", (
            "Check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
        )
    if status == 403:
        return "it refuses this user or host", (
            "Check what the user may do, and MLFLOW_SERVER_ALLOWED_HOSTS of the server."
        )
    return "", ""


def ask_postgres(url: str) -> str:
    """Sign in to a PostgreSQL server; return what is wrong, without the password."""
    import psycopg

    try:
        with psycopg.connect(_plain(url), connect_timeout=PATIENCE) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        return str(error).strip().splitlines()[-1] or type(error).__name__
    return ""


def ask_remote(settings: Settings) -> tuple[str, str, str]:
    """Ask the remote of snapshots; return its address, what is wrong, and what to do."""
    from crimeguard.ingest.remote import open_remote

    try:
        with open_remote(settings) as remote:
            remote.size_of("0" * 32)
            return remote.shown, "", ""
    except CrimeGuardError as error:
        return error.what, error.why, error.fix


def _plain(url: str) -> str:
    """Return a URL without the driver that SQLAlchemy lets one name in it."""
    return re.sub(r"^postgresql\+\w+://", "postgresql://", url)
