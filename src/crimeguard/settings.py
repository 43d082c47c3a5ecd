"""Every setting, read once from CRIMEGUARD_* environment variables."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from crimeguard.domain.errors import UsageError
from crimeguard.domain.secret import placeholder

# 32 random bytes in base64url behind a mark that scanners for lost secrets can look for.
API_KEY = re.compile(r"cg_[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where state lives, and where the servers listen.

    CRIMEGUARD_HOME (default ./.crimeguard) holds all state: snapshots, bundles, the
    registry, records. CRIMEGUARD_HOST and CRIMEGUARD_PORT are the API's address,
    CRIMEGUARD_UI_HOST and CRIMEGUARD_UI_PORT the console's; CRIMEGUARD_API_URL is where the
    console finds the API. CRIMEGUARD_BUNDLE is a folder that the API serves instead of what
    the registry names. CRIMEGUARD_API_KEYS and the file CRIMEGUARD_API_KEYS_FILE hold the
    digests of the keys that the API accepts; with them every caller needs one, without
    them the API listens on loopback only. CRIMEGUARD_API_KEY is the key that our own
    callers send. MLFLOW_TRACKING_URI names another MLflow than the embedded one, and
    MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD who asks it: MLflow's own names,
    which its client reads by itself.
    CRIMEGUARD_BUNDLE_PUBLIC_KEYS are who may have signed what is served, and the file
    CRIMEGUARD_BUNDLE_SIGNING_KEY_FILE signs what is trained. CRIMEGUARD_WORKERS is how many
    processes answer. CRIMEGUARD_MAX_BODY_BYTES bounds a request for single incidents,
    CRIMEGUARD_MAX_UPLOAD_BYTES an uploaded file, CRIMEGUARD_MAX_BATCH_ROWS its rows;
    CRIMEGUARD_MAX_WAITING the incidents that wait to be scored, CRIMEGUARD_MAX_CONNECTIONS
    the connections of a process, CRIMEGUARD_DEADLINE_SECONDS and
    CRIMEGUARD_BATCH_DEADLINE_SECONDS how long an answer may take, CRIMEGUARD_BODY_SECONDS
    how long a body. A key may ask CRIMEGUARD_RATE_PER_SECOND, and CRIMEGUARD_RATE_BURST at
    once; 0 is no limit. CRIMEGUARD_LOG_FORMAT is text or json. CRIMEGUARD_EXPERIMENT sets a
    challenger beside the model in service.
    CRIMEGUARD_FOLLOW_SECONDS is how often the API looks at the registry,
    CRIMEGUARD_DRAIN_SECONDS how long it answers on after SIGTERM, no longer ready.
    CRIMEGUARD_ALERT_WEBHOOK, CRIMEGUARD_ALERT_SMTP_URL (with CRIMEGUARD_ALERT_FROM and
    CRIMEGUARD_ALERT_TO) and CRIMEGUARD_ALERTMANAGER_URL are where alerts go; an alert that
    still holds is told again after CRIMEGUARD_ALERT_REPEAT_HOURS.
    CRIMEGUARD_JENKINS_URL is the job that an alert of drift starts, as the user
    CRIMEGUARD_JENKINS_USER with the API token CRIMEGUARD_JENKINS_TOKEN.
    CRIMEGUARD_RECORDS_URL names another database for predictions, labels and the ledger
    than a file in `home`, CRIMEGUARD_LOG_DAYS is how long a prediction is kept.
    CRIMEGUARD_DVC_URL is where snapshots are pushed to and pulled from, with
    CRIMEGUARD_DVC_USER and CRIMEGUARD_DVC_PASSWORD over HTTP, written by the request
    CRIMEGUARD_DVC_METHOD; with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in an S3 store,
    which CRIMEGUARD_DVC_ENDPOINT names if it is not Amazon's.
    CRIMEGUARD_SODA_TOKEN is the app token that open-data portals are asked with, and
    CRIMEGUARD_SODA_URL another address than the portal's own, such as a mirror.
    CRIMEGUARD_DEEPCHECKS_PYTHON is the Python that has Deepchecks, by default the one that
    `make` puts inside the environment. CRIMEGUARD_NATIVE=0 leaves all answers to NumPy, as
    where no kernel was compiled; `crimeguard/native/library.py` reads it.
    """

    home: Path = Path(".crimeguard")
    host: str = "127.0.0.1"
    port: int = 5000
    bundle: str = ""
    api_keys: str = field(default="", repr=False)
    api_keys_file: str = ""
    ui_host: str = "127.0.0.1"
    ui_port: int = 8501
    api_url: str = "http://127.0.0.1:5000"
    api_key: str = field(default="", repr=False)
    # What is not shown carries a secret, or may; no placeholder is accepted in it.
    mlflow_tracking_uri: str = field(default="", repr=False)
    mlflow_tracking_username: str = ""
    mlflow_tracking_password: str = field(default="", repr=False)
    bundle_public_keys: str = ""
    bundle_signing_key_file: str = ""
    workers: int = 1
    max_body_bytes: int = 1_000_000
    max_upload_bytes: int = 200_000_000
    max_batch_rows: int = 1_000_000
    max_waiting: int = 256
    max_connections: int = 1000
    deadline_seconds: float = 2.0
    batch_deadline_seconds: float = 300.0
    body_seconds: float = 30.0
    rate_per_second: float = 0.0
    rate_burst: int = 0
    log_format: str = "text"
    experiment: str = ""
    follow_seconds: float = 10.0
    drain_seconds: float = 0.0
    alert_webhook: str = field(default="", repr=False)
    alert_smtp_url: str = field(default="", repr=False)
    alert_from: str = ""
    alert_to: str = ""
    alertmanager_url: str = field(default="", repr=False)
    alert_repeat_hours: float = 24.0
    jenkins_url: str = field(default="", repr=False)
    jenkins_user: str = ""
    jenkins_token: str = field(default="", repr=False)
    records_url: str = field(default="", repr=False)
    log_days: int = 400
    dvc_url: str = field(default="", repr=False)
    dvc_user: str = ""
    dvc_password: str = field(default="", repr=False)
    dvc_method: str = "POST"
    dvc_endpoint: str = ""
    aws_access_key_id: str = field(default="", repr=False)
    aws_secret_access_key: str = field(default="", repr=False)
    soda_token: str = field(default="", repr=False)
    soda_url: str = ""
    deepchecks_python: str = ""
    native: str = ""

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the environment; a value of the wrong kind is a UsageError that names it.

        So is a secret that is still the placeholder of `.env.example`.
        """
        environ = os.environ if environ is None else environ
        refuse_placeholders(environ)
        values: dict[str, object] = {}
        for name, kind in cls.__annotations__.items():
            variable = VARIABLES[name]
            text = environ.get(variable)
            if text is not None and text != "":
                values[name] = _convert(variable, text, str(kind), zero=_may_be_zero(name))
        if "api_url" not in values:
            port = values.get("port", cls.__dataclass_fields__["port"].default)
            values["api_url"] = f"http://127.0.0.1:{port}"
        if "api_key" in values:
            values["api_key"] = _key(str(values["api_key"]))
        return cls(**values)  # type: ignore[arg-type]

    @property
    def api_headers(self) -> dict[str, str]:
        """What our own requests to the API carry: the key, if there is one."""
        return {"X-API-Key": self.api_key} if self.api_key else {}

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


# Names that others have given, and that their own programs read as well.
_FOREIGN = ("mlflow_", "aws_")
VARIABLES = {
    name: name.upper() if name.startswith(_FOREIGN) else f"CRIMEGUARD_{name.upper()}"
    for name in Settings.__annotations__
}
SECRETS = frozenset(VARIABLES[item.name] for item in fields(Settings) if not item.repr)
_KINDS = {"Path": Path, "str": str, "int": int, "float": float}


def refuse_placeholders(environ: Mapping[str, str]) -> None:
    """Raise a UsageError that names the first secret which is still a placeholder."""
    for variable in sorted(SECRETS):
        if placeholder(environ.get(variable, "")):
            raise UsageError(
                f"{variable} is still a placeholder.",
                why="Everybody knows the examples' passwords.",
                fix=f"Set {variable} to a secret of your own, or unset it; `crimeguard secrets` "
                "makes those that can be made.",
            )


def _may_be_zero(name: str) -> bool:
    """Whether 0 means none, as it does where it is the default."""
    return Settings.__dataclass_fields__[name].default == 0


def _convert(variable: str, text: str, kind: str, *, zero: bool) -> object:
    try:
        value = _KINDS[kind](text)
    except ValueError:
        raise UsageError(
            f"{variable} is {text!r}.", why=f"It must be a number ({kind}).",
            fix=f"Set {variable} to a number, or unset it.",
        ) from None  # fmt: skip
    if isinstance(value, int | float) and not (0 < value < math.inf or (zero and value == 0)):
        kinds, fix = ("0 or above", "0 or a positive") if zero else ("above 0", "a positive")
        raise UsageError(f"{variable} is {text!r}.", why=f"It must be {kinds}.",
                         fix=f"Set {variable} to {fix} number, or unset it.")  # fmt: skip
    return value


def _key(text: str) -> str:
    """Check a key without ever showing it; a line's end behind it is no part of it."""
    key = text.strip()
    if not API_KEY.fullmatch(key):
        raise UsageError("CRIMEGUARD_API_KEY is no API key.",
                         why="A key is cg_ and 43 letters, digits, - or _.",
                         fix="Make one with `crimeguard key`, or unset the variable.")  # fmt: skip
    return key
