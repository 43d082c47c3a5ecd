"""Every setting, read once from CRIMEGUARD_* environment variables."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from crimeguard.domain.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where state lives, and where the servers listen.

    CRIMEGUARD_HOME (default ./.crimeguard) holds all state: snapshots, bundles, the
    registry, records. CRIMEGUARD_HOST and CRIMEGUARD_PORT are the API's address,
    CRIMEGUARD_UI_PORT the console's; CRIMEGUARD_API_URL is where the console finds the
    API. MLFLOW_TRACKING_URI names another MLflow than the embedded one.
    CRIMEGUARD_MAX_BODY_BYTES bounds a request for single incidents,
    CRIMEGUARD_MAX_UPLOAD_BYTES an uploaded file, CRIMEGUARD_MAX_BATCH_ROWS its rows;
    CRIMEGUARD_FOLLOW_SECONDS is how often the API looks at the registry.
    CRIMEGUARD_ALERT_WEBHOOK, CRIMEGUARD_ALERT_SMTP_URL (with CRIMEGUARD_ALERT_FROM and
    CRIMEGUARD_ALERT_TO) and CRIMEGUARD_ALERTMANAGER_URL are where alerts go; an alert that
    still holds is told again after CRIMEGUARD_ALERT_REPEAT_HOURS.
    CRIMEGUARD_RECORDS_URL names another database for predictions, labels and the ledger
    than a file in `home`, CRIMEGUARD_LOG_DAYS is how long a prediction is kept.
    CRIMEGUARD_DEEPCHECKS_PYTHON is the Python that has Deepchecks, by default the one that
    `make` puts inside the environment.
    """

    home: Path = Path(".crimeguard")
    host: str = "127.0.0.1"
    port: int = 5000
    ui_port: int = 8501
    api_url: str = "http://127.0.0.1:5000"
    mlflow_tracking_uri: str = ""
    max_body_bytes: int = 1_000_000
    max_upload_bytes: int = 200_000_000
    max_batch_rows: int = 1_000_000
    follow_seconds: float = 10.0
    # These addresses may carry passwords and tokens.
    alert_webhook: str = field(default="", repr=False)
    alert_smtp_url: str = field(default="", repr=False)
    alert_from: str = ""
    alert_to: str = ""
    alertmanager_url: str = field(default="", repr=False)
    alert_repeat_hours: float = 24.0
    records_url: str = ""
    log_days: int = 400
    deepchecks_python: str = ""

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the environment; a value of the wrong kind is a UsageError that names it."""
        environ = os.environ if environ is None else environ
        values: dict[str, object] = {}
        for name, kind in cls.__annotations__.items():
            variable = VARIABLES[name]
            text = environ.get(variable)
            if text is not None and text != "":
                values[name] = _convert(variable, text, str(kind))
        if "api_url" not in values:
            port = values.get("port", cls.__dataclass_fields__["port"].default)
            values["api_url"] = f"http://127.0.0.1:{port}"
        return cls(**values)  # type: ignore[arg-type]

    @property
    def tracking_uri(self) -> str:
        """The MLflow to use; by default a database file in `home`."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.database}"

    @property
    def database(self) -> Path:
        """The file of the embedded MLflow."""
        return self.home.resolve() / "mlflow" / "mlflow.db"

    @property
    def records_uri(self) -> str:
        """The database of predictions, labels and the ledger; by default a file in `home`."""
        return self.records_url or f"sqlite:///{self.home.resolve() / 'records.db'}"


VARIABLES = {
    name: "MLFLOW_TRACKING_URI" if name == "mlflow_tracking_uri" else f"CRIMEGUARD_{name.upper()}"
    for name in Settings.__annotations__
}
_KINDS = {"Path": Path, "str": str, "int": int, "float": float}


def _convert(variable: str, text: str, kind: str) -> object:
    try:
        value = _KINDS[kind](text)
    except ValueError:
        raise UsageError(
            f"{variable} is {text!r}.", why=f"It must be a number ({kind}).",
            fix=f"Set {variable} to a number, or unset it.",
        ) from None  # fmt: skip
    if isinstance(value, int | float) and not 0 < value < math.inf:
        raise UsageError(f"{variable} is {text!r}.", why="It must be above 0.",
                         fix=f"Set {variable} to a positive number, or unset it.")  # fmt: skip
    return value
