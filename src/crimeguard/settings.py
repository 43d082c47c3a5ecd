"""Every setting, read once from CRIMEGUARD_* environment variables."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
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
