"""The registry on an MLflow server as a team runs it, with everything real but the cloud."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import httpx
import pytest

from crimeguard.domain.errors import RegistryError
from crimeguard.pipeline import Trained
from crimeguard.registry.bundle import Bundle
from crimeguard.registry.store import PRODUCTION, STAGING, Run, open_registry
from crimeguard.serve.follower import Follower
from crimeguard.serve.predictor import Predictor
from crimeguard.serve.slot import Slot
from crimeguard.settings import Settings
from tests.cli.world import contents, crimeguard, refused
from tests.ingest.stores import S3, free_port, s3_server
from tests.records.postgres import Postgres
from tests.registry.mlflow_server import ADMIN, PASSWORD, MlflowServer, mlflow_server
from tests.registry.versions import other_bundle

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("mlflow")]
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=1"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with s3_server("models") as server:
        yield server


@pytest.fixture(scope="module")
def server(
    postgres: Postgres, s3: S3, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowServer]:
    with mlflow_server(postgres, s3, tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture
def signed_in(server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of somebody who knows the password; MLflow's client reads the environment."""
    for name, value in {"CRIMEGUARD_HOME": str(tmp_path / "home"),
                        "MLFLOW_TRACKING_URI": server.uri, "MLFLOW_TRACKING_USERNAME": ADMIN,
                        "MLFLOW_TRACKING_PASSWORD": PASSWORD}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    return Settings.load()


def test_a_bundle_goes_there_and_comes_back_the_same_bytes(
    signed_in: Settings, server: MlflowServer, s3: S3, trained: Trained, tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    registry = open_registry(signed_in)
    note = tmp_path / "report.html"
    note.write_text("what was found")
    first = registry.register(trained.bundle, Run({"rounds": 4}, {"loss": 0.5}, {}, (note,)))
    assert registry.version_of(STAGING) == first
    registry.promote(first)
    assert registry.version_of(PRODUCTION) == first
    registry.attach(first, note)

    slot = Slot()

    def load(folder: Path) -> Predictor:
        return Predictor(Bundle.load(folder))

    follower = Follower(slot, connect=lambda: open_registry(signed_in), load=load,
                        cache=tmp_path / "served", every=3600)  # fmt: skip
    follower.look()
    assert follower.state.state == "following", follower.state
    assert follower.state.version == first
    here, there = contents(trained.bundle.path), contents(tmp_path / "served")
    for name, sha256 in here.items():
        assert there[f"{trained.bundle.sha256[:12]}/{name}"] == sha256

    # The next one is followed as well.
    second = other_bundle(trained, tmp_path / "bundles", "second")
    registry.promote(registry.register(second, Run({}, {}, {})))
    follower.look()
    assert follower.state.version == str(int(first) + 1)
    assert (tmp_path / "served" / second.sha256[:12]).is_dir()

    # Nothing but what --json writes belongs there.
    assert capfd.readouterr().out == ""

    # The files are in the bucket, and the client never had its key.
    store = boto3.client("s3", endpoint_url=s3.endpoint, region_name="us-east-1",
                         aws_access_key_id=s3.key, aws_secret_access_key=s3.secret)  # fmt: skip
    kept = [item["Key"] for item in store.list_objects_v2(Bucket=server.bucket)["Contents"]]
    assert sum(key.endswith("bundle/manifest.json") for key in kept) == 2
    assert any(key.endswith("report.html") for key in kept)
    assert all(s3.secret not in text for text in (json.dumps(kept), repr(signed_in)))


@pytest.mark.usefixtures("signed_in")
@pytest.mark.parametrize("user", [ADMIN, "nobody", ""])
def test_a_wrong_password_is_said_without_it(user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong-horse")
    told = crimeguard("promote")
    refused(told, 1, "could not be read", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    assert "wrong-horse" not in told.err


def test_a_server_that_is_down_is_said_in_seconds(
    signed_in: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(RegistryError, match="could not be read") as lost:
        open_registry(replace(signed_in, mlflow_tracking_uri=uri)).versions()
    assert uri in lost.value.what
    assert "MLFLOW_TRACKING_URI" in lost.value.fix
    assert PASSWORD not in str(lost.value)


def test_the_server_answers_nobody_else(server: MlflowServer) -> None:
    def ask(auth: tuple[str, str] | None, host: str | None = None) -> int:
        headers = {"Host": host} if host else {}
        return httpx.get(server.uri + SEARCH, auth=auth, headers=headers).status_code

    assert ask((ADMIN, PASSWORD)) == 200
    assert ask(None) == 401
    assert ask((ADMIN, "password1234")) == 401
    assert ask((ADMIN, PASSWORD), host="evil.example") == 403


def test_a_host_that_the_server_does_not_know_is_said(
    signed_in: Settings, server: MlflowServer
) -> None:
    alias = server.uri.replace("127.0.0.1", "localhost")
    with pytest.raises(RegistryError) as lost:
        open_registry(replace(signed_in, mlflow_tracking_uri=alias)).versions()
    assert "MLFLOW_SERVER_ALLOWED_HOSTS" in lost.value.fix
