"""The model registry: runs, versions and aliases, kept by MLflow.

The one module that speaks to MLflow's client. Importing MLflow takes seconds, so it is
imported when a registry is opened, never on the request path.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from crimeguard.domain.errors import BundleError, NoVersionError, RegistryError
from crimeguard.registry.bundle import FILES, MANIFEST, NAME, Bundle, verify
from crimeguard.registry.folder import SIGNATURE, held
from crimeguard.registry.nested import NestedRuns
from crimeguard.settings import Settings

STAGING: Final = "staging"
PRODUCTION: Final = "production"
_SHA256: Final = re.compile("[0-9a-f]{64}")
_LOCK: Final = ".fetch.lock"
_WORK: Final = ".download-"
_CREDENTIALS: Final = re.compile(r"://[^/\s]*@")
_PACKAGES: Final = (
    "lightgbm",
    "mlflow-skinny",
    "numpy",
    "pandas",
    "polars",
    "scipy",
    "xgboost-cpu",
)


@dataclass(frozen=True, slots=True)
class Version:
    """A registered model version and where it stands in its life.

    `snapshot` is what its run says that it was trained on; empty if it says nothing.
    """

    number: str
    stage: str
    aliases: tuple[str, ...]
    sha256: str
    run_id: str
    created: dt.datetime
    metrics: Mapping[str, float]
    snapshot: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """What one training run leaves in MLflow beside its bundle."""

    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    artifacts: tuple[Path, ...] = ()


class Registry:
    """The registered model `crimeguard` in one MLflow.

    Parameters
    ----------
    uri
        MLflow's tracking URI: `sqlite:///…` or the address of a server.
    artifacts
        Where runs of a database URI keep their files; a server decides for itself.
    """

    def __init__(self, uri: str, *, artifacts: Path | None = None) -> None:
        self.uri = uri
        self._artifacts = artifacts
        if uri.startswith("sqlite:///"):
            Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        self._mlflow = _quiet_mlflow()
        # `models:/` addresses are resolved by MLflow's process-wide setting.
        self._mlflow.set_tracking_uri(uri)
        self._mlflow.set_registry_uri(uri)
        with self._asking("opened"):
            self._client = self._mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)

    def register(self, bundle: Bundle, run: Run, *, experiment: str = NAME) -> str:
        """Log a run with its bundle, register it under alias `staging`; return the version."""
        mlflow = self._mlflow
        with self._asking("written"):
            experiment_id = self._experiment(experiment)
            with mlflow.start_run(experiment_id=experiment_id, tags=dict(run.tags)) as active:
                mlflow.log_params(_flat(run.params))
                mlflow.log_metrics(dict(run.metrics))
                for artifact in run.artifacts:
                    mlflow.log_artifact(str(artifact))
                logged = self._log_model(bundle)
            version = self._client_version(logged, active.info.run_id, bundle)
            self._client.set_registered_model_alias(NAME, STAGING, version)
        return version

    def nested(self, experiment: str, key: str, run: Run) -> NestedRuns:
        """Open the parent run of a search, known by its key, and what is nested in it."""
        with self._asking("written"):
            place = self._experiment(experiment)
        parent = replace(run, params=_flat(run.params))
        return NestedRuns(self._mlflow, self._client, self._asking, place, key, parent)

    def promote(self, version: str) -> str | None:
        """Make a version the one in production; return the one that it replaces, if any."""
        with self._asking("written"):
            old = self.version_of(PRODUCTION)
            self._client.set_registered_model_alias(NAME, PRODUCTION, version)
            self._client.set_model_version_tag(NAME, version, "stage", "Production")
            if self.version_of(STAGING) == version:
                self._client.delete_registered_model_alias(NAME, STAGING)
            if old is not None and old != version:
                self._client.set_model_version_tag(NAME, old, "stage", "Archived")
        return old if old != version else None

    def attach(self, number: str, file: Path) -> None:
        """Keep a file beside the run that a version came from."""
        run_id = self._version(number).run_id
        with self._asking("written"):
            self._client.log_artifact(run_id, str(file))

    def sha256_of(self, number: str) -> str:
        """Return the digest of the bundle that was registered as a version."""
        return str(self._version(number).tags.get("bundle_sha256", ""))

    def number_of(self, sha256: str) -> str | None:
        """Return the newest version of a bundle, None if it was never registered."""
        with self._asking("read"):
            found = self._client.search_model_versions(f"name = '{NAME}'")
        numbers = [str(v.version) for v in found if v.tags.get("bundle_sha256") == sha256]
        return max(numbers, key=int) if numbers else None

    def version_of(self, alias: str) -> str | None:
        """Return the number of the version under an alias, None if there is none."""
        with self._asking("read"):
            models = self._client.search_registered_models(f"name = '{NAME}'")
        number = dict(models[0].aliases).get(alias) if models else None
        return None if number is None else str(number)

    def versions(self) -> list[Version]:
        """Return all versions, newest first."""
        with self._asking("read"):
            models = self._client.search_registered_models(f"name = '{NAME}'")
            aliases = dict(models[0].aliases) if models else {}
            found = self._client.search_model_versions(f"name = '{NAME}'")
            runs = {v.run_id: self._client.get_run(v.run_id).data for v in found}
        listed = [
            Version(
                number=str(v.version),
                stage=v.tags.get("stage", "None"),
                aliases=tuple(a for a, n in aliases.items() if str(n) == str(v.version)),
                sha256=v.tags.get("bundle_sha256", ""),
                run_id=v.run_id,
                created=dt.datetime.fromtimestamp(v.creation_timestamp / 1000, dt.UTC),
                metrics=runs[v.run_id].metrics,
                snapshot=runs[v.run_id].tags.get("snapshot", ""),
            )
            for v in found
        ]
        return sorted(listed, key=lambda item: -int(item.number))

    def fetch(self, alias: str, into: Path) -> Path | None:
        """Download the bundle under an alias into a folder below `into`; None if none is named.

        A bundle that is there already and still verifies is not downloaded again. Raises
        BundleError if what was downloaded is not the bundle that was registered.
        """
        number = self.version_of(alias)
        return None if number is None else self.fetch_version(number, into)

    def fetch_version(self, number: str, into: Path) -> Path:
        """Download the bundle of a version, as `fetch` does."""
        version = self._version(number)
        sha256 = str(version.tags.get("bundle_sha256", ""))
        if not _SHA256.fullmatch(sha256):
            raise BundleError(f"Version {number} says of no bundle that it is its own.",
                              why="Its tag bundle_sha256 is no sha256.",
                              fix="Train and register it again.")  # fmt: skip
        folder = into / sha256[:12]
        # Workers of one server, and verbs beside it, fetch into the same folder.
        if not _is_bundle(folder, sha256):
            with held(into, _LOCK):
                if not _is_bundle(folder, sha256):
                    self._download(version, sha256, folder)
        return folder

    def _version(self, number: str) -> Any:
        from mlflow.exceptions import MlflowException

        with self._asking("read"):
            try:
                return self._client.get_model_version(NAME, number)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                raise NoVersionError(
                    f"There is no version {number} of {NAME}.",
                    fix="Name one that `crimeguard train` made.",
                ) from None

    def _download(self, version: Any, sha256: str, folder: Path) -> None:
        for left in folder.parent.glob(f"{_WORK}*"):
            shutil.rmtree(left, ignore_errors=True)  # by a process that was killed
        with self._asking("read"):
            work = Path(tempfile.mkdtemp(prefix=_WORK, dir=folder.parent))
        try:
            with self._asking("read"):
                found = self._mlflow.artifacts.download_artifacts(
                    artifact_uri=f"models:/{NAME}/{version.version}/artifacts/bundle",
                    dst_path=str(work),
                )
            source = Path(found)
            _, actual = verify(source)
            if actual != sha256:
                raise BundleError(f"Version {version.version} is not what was registered.",
                                  why="The sha256 of its manifest differs.",
                                  fix="Train and register it again.")  # fmt: skip
            _remove(folder)
            source.rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _experiment(self, name: str) -> str:
        known = self._client.get_experiment_by_name(name)
        if known is not None:
            return str(known.experiment_id)
        server = self.uri.startswith(("http://", "https://"))
        own = None if server or self._artifacts is None else self._artifacts.resolve().as_uri()
        return str(self._client.create_experiment(name, artifact_location=own))

    def _log_model(self, bundle: Bundle) -> Any:
        here = Path(__file__).resolve()
        with tempfile.TemporaryDirectory() as work:
            # Only what belongs to the bundle travels, whatever else lies in its folder.
            copy = Path(work) / "bundle"
            copy.mkdir()
            signed = (bundle.path / SIGNATURE).is_file()
            for file in (MANIFEST, *FILES, *([SIGNATURE] if signed else [])):
                shutil.copy2(bundle.path / file, copy / file)
            with warnings.catch_warnings():
                # MLflow asks for an input schema; raw rows come in more types than it can say.
                warnings.filterwarnings("ignore", module="mlflow")
                return _pyfunc().log_model(
                    name=NAME,
                    python_model=str(here.with_name("scorer.py")),
                    signature=_signature(),
                    artifacts={"bundle": str(copy)},
                    code_paths=[str(here.parents[1])],
                    pip_requirements=_requirements(),
                )

    def _client_version(self, logged: Any, run_id: str, bundle: Bundle) -> str:
        if not self._client.search_registered_models(f"name = '{NAME}'"):
            self._client.create_registered_model(NAME)
        tags = {"stage": "Staging", "bundle_sha256": bundle.sha256}
        # A server with users looks whether the model is one that this user may read.
        made = self._client.create_model_version(
            NAME, logged.model_uri, run_id=run_id, tags=tags, model_id=logged.model_id
        )
        return str(made.version)

    @contextmanager
    def _asking(self, verb: str) -> Iterator[None]:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        # ImportError: a database whose driver is not installed.
        except (MlflowException, SQLAlchemyError, ImportError, OSError) as error:
            raise RegistryError(f"The model registry at {_public(self.uri)} could not be {verb}.",
                                why=f"{type(error).__name__}: {_public(_first_line(error))}",
                                fix=_remedy(error)) from error  # fmt: skip


def open_registry(settings: Settings) -> Registry:
    """Open the registry that the settings name; an embedded one is made if need be."""
    return Registry(settings.tracking_uri, artifacts=settings.home / "mlflow" / "artifacts")


def _quiet_mlflow() -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    # A server's client tells where to look, on the stdout that belongs to --json.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # A server on S3 sends its clients there, with addresses that only it may be able to reach.
    os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")
    os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "false")
    # A registry that does not answer should say so in seconds, not in a quarter of an hour.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow
        import mlflow.artifacts
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return mlflow


def _pyfunc() -> Any:
    """Import what logs models; it needs pandas, which an API that only fetches is without."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.pyfunc
    return mlflow.pyfunc


def _signature() -> Any:
    """Name the one parameter of `Scorer.predict`; MLflow drops those that it is not told of."""
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec

    return ModelSignature(params=ParamSchema([ParamSpec("level", "string", "report")]))


def _requirements() -> list[str]:
    from importlib.metadata import version

    return [f"{package}=={version(package)}" for package in _PACKAGES]


def _flat(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in params.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _is_bundle(folder: Path, sha256: str) -> bool:
    try:
        return folder.exists() and verify(folder)[1] == sha256
    except BundleError:
        return False


def _remove(folder: Path) -> None:
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def _remedy(error: BaseException) -> str:
    code = str(getattr(error, "error_code", ""))
    # Artifacts come over plain HTTP, whose errors carry the answer.
    status = getattr(getattr(error, "response", None), "status_code", 0)
    if code in {"UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"} or status == 401:
        return "Check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
    if code == "PERMISSION_DENIED" or status == 403:
        return (
            "Check what MLFLOW_TRACKING_USERNAME may do there, and that the server knows the "
            "host in MLFLOW_TRACKING_URI as its own (MLFLOW_SERVER_ALLOWED_HOSTS)."
        )
    return ("Check MLFLOW_TRACKING_URI and that the server runs; what is served goes on being "
            "served.")  # fmt: skip


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else "no further word."


def _public(uri: str) -> str:
    """Return an address without the user and password that it may carry."""
    return _CREDENTIALS.sub("://", uri)
