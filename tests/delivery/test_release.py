"""The real kubectl against a stand-in cluster whose pods are pretended."""

import base64
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from crimeguard.cli.deploy import deploy as verb
from crimeguard.delivery.kubectl import DeployError, Kubectl
from crimeguard.delivery.release import Outcome, deploy
from crimeguard.domain.errors import CrimeGuardError, UsageError
from tests.delivery.cluster import Cluster, cluster, pretended
from tests.delivery.overlay import NAMESPACE, SECRETS, reference, references, write_overlay
from tests.delivery.store import Key

pytestmark = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
BAD = "b"  # an image of this digest never becomes ready
UNREADY = "HTTP probe failed with statuscode: 503"


def unready(image: str) -> str:
    return UNREADY if image.endswith(BAD * 64) else ""


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No secret and no cluster of this machine is used."""
    for name in (*SECRETS, "KUBECONFIG", "CRIMEGUARD_ALERT_WEBHOOK"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def overlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_overlay(tmp_path)


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with cluster(tmp_path, pretended(unready), deadline=0.5) as found:
        monkeypatch.setenv("KUBECONFIG", str(found.kubeconfig))
        yield found


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a kubectl on PATH that writes down its arguments; return where."""
    log = tmp_path / "arguments"
    wrapper = tmp_path / "bin" / "kubectl"
    wrapper.parent.mkdir()
    real = shutil.which("kubectl")
    wrapper.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {log}\nexec {real} "$@"\n')
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}")
    return log


def deployed(
    overlay: Path, images: dict[str, str], secrets: dict[str, str] | None = None
) -> tuple[Outcome, list[str]]:
    told: list[str] = []
    chosen = SECRETS if secrets is None else secrets
    kubectl = Kubectl(chosen.values())
    return deploy(overlay, images, chosen or None, kubectl, timeout=20, tell=told.append), told


def call(*options: str) -> CrimeGuardError:
    """Run the verb, which fails; return its error."""
    app = typer.Typer()
    app.command()(verb)
    outcome = CliRunner().invoke(app, options)
    assert isinstance(outcome.exception, CrimeGuardError), outcome.output
    return outcome.exception


def test_the_images_serve_by_digest_with_configuration_and_secret(
    stand_in: Cluster, overlay: Path
) -> None:
    outcome, told = deployed(overlay, references())
    assert not outcome.failed
    assert sorted(outcome.changed) == ["backend", "frontend"]
    assert stand_in.deployments(NAMESPACE) == {
        name: references()[name] for name in ("backend", "frontend")
    }
    assert told[-2:] == ["waiting for backend", "waiting for frontend"]
    data = stand_in.store.get(Key("secrets", NAMESPACE, "crimeguard"))["data"]
    assert {name: base64.b64decode(value).decode() for name, value in data.items()} == SECRETS
    job = stand_in.store.get(Key("cronjobs", NAMESPACE, "monitor"))["spec"]["jobTemplate"]
    assert job["spec"]["template"]["spec"]["containers"][0]["image"] == references()["trainer"]

    # The same again, with the Secret that is there: nothing changes.
    again, _ = deployed(overlay, references(), {})
    assert not again.failed
    assert again.changed == []

    # Pods read the Secret when they start: they must be replaced when it changes.
    changed = {**SECRETS, "MLFLOW_TRACKING_PASSWORD": "another-one-dk29sk"}
    assert sorted(deployed(overlay, references(), changed)[0].changed) == ["backend", "frontend"]


def test_a_bad_image_goes_back_and_nothing_else_does(
    stand_in: Cluster, overlay: Path, recorded: Path, tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    deployed(overlay, references())
    outcome, told = deployed(overlay, references(backend=BAD))
    assert outcome.failed == "backend did not become ready."
    assert outcome.changed == outcome.undone == ["backend"]
    assert "exceeded its progress deadline" in outcome.why[0]
    assert any(UNREADY in line for line in outcome.why[1:]), outcome.why
    assert stand_in.deployments(NAMESPACE)["backend"] == reference("backend", "a")
    assert stand_in.running(NAMESPACE)["backend"] == [reference("backend", "a")]
    assert not any("frontend back" in line for line in told)
    assert "Rolled back: backend." in outcome.error().fix

    # No secret is in an argument, a message, or a file.
    hidden = [*SECRETS.values(), *(base64.b64encode(v.encode()).decode() for v in SECRETS.values())]
    arguments = recorded.read_text()
    assert "rollout undo" in arguments
    said = [*told, str(outcome), str(outcome.error()), arguments, *capfd.readouterr()]
    said += [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert not [secret for secret in hidden for text in said if secret in text]

    # The rollback owns fields now; the next apply takes them back.
    after, _ = deployed(overlay, references(backend="c"))
    assert not after.failed
    assert stand_in.running(NAMESPACE)["backend"] == [reference("backend", "c")]


def test_all_that_changed_goes_back_and_exit_code_and_json_say_so(
    stand_in: Cluster, overlay: Path
) -> None:
    deployed(overlay, references())
    settings = (overlay / "kustomization.yaml").read_text()
    (overlay / "kustomization.yaml").write_text(settings.replace("mlflow:5000", "wrong:1"))
    app = typer.Typer()
    app.command()(verb)
    options = [f"--{name}={image}" for name, image in references("c", BAD).items()]
    outcome = CliRunner().invoke(app, ["--overlay", "staging", "--json", *options])
    assert isinstance(outcome.exception, DeployError)
    assert outcome.exception.exit_code == 1
    document = json.loads(outcome.stdout)
    assert document["deployed"] is False
    assert document["failed"] == "frontend did not become ready."
    assert sorted(document["undone"]) == ["backend", "frontend"]
    assert set(stand_in.deployments(NAMESPACE).values()) == {
        reference("backend", "a"), reference("frontend", "a")
    }  # fmt: skip
    # The old configuration is back as well: it has another name than the new one.
    template = stand_in.store.get(Key("deployments", NAMESPACE, "backend"))["spec"]["template"]
    source = template["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"]
    data = stand_in.store.get(Key("configmaps", NAMESPACE, source))["data"]
    assert data == {"MLFLOW_TRACKING_URI": "http://mlflow:5000"}


def test_a_first_deploy_has_nothing_to_go_back_to(stand_in: Cluster, overlay: Path) -> None:
    outcome, _ = deployed(overlay, references(backend=BAD))
    assert outcome.undone == []
    assert "first deploy" in outcome.left["backend"]
    assert "nothing to go back to" in outcome.error().fix
    assert stand_in.deployments(NAMESPACE)["backend"] == reference("backend", BAD)


def test_a_missing_secret_is_refused_before_anything_changes(
    stand_in: Cluster, overlay: Path
) -> None:
    with pytest.raises(DeployError, match="does not exist") as caught:
        deployed(overlay, references(), {})
    assert "CRIMEGUARD_API_KEYS, MLFLOW_TRACKING_PASSWORD" in caught.value.why
    assert stand_in.deployments() == {}


def test_half_a_secret_is_refused(stand_in: Cluster, overlay: Path) -> None:
    with pytest.raises(DeployError, match="CRIMEGUARD_API_KEYS is not set"):
        deployed(overlay, references(), {"MLFLOW_TRACKING_PASSWORD": "pass-8fj2kd93jfnw"})
    assert stand_in.store.find("secrets") == []


def test_what_other_verbs_read_does_not_become_the_secret(
    stand_in: Cluster, overlay: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "pass-8fj2kd93jfnw")
    monkeypatch.setenv("KUBECONFIG", str(stand_in.kubeconfig))
    options = [f"--{name}={image}" for name, image in references().items()]
    assert "does not exist" in call("--overlay", "staging", *options).what
    assert "is not set" in call("--overlay", "staging", "--secret", *options).what
    assert stand_in.store.find("secrets") == []


def test_a_placeholder_is_refused(stand_in: Cluster, overlay: Path) -> None:
    with pytest.raises(UsageError, match="MLFLOW_TRACKING_PASSWORD is still a placeholder"):
        deployed(overlay, references(), {**SECRETS, "MLFLOW_TRACKING_PASSWORD": "changethis"})
    assert stand_in.store.find("secrets") == []


def test_what_kubectl_says_is_cleaned_of_secrets(tmp_path: Path) -> None:
    loud = tmp_path / "kubectl"
    loud.write_text("#!/bin/sh\necho 'invalid: aGVsbG8tc2VjcmV0 and hello-secret' >&2\nexit 1\n")
    loud.chmod(0o700)
    with pytest.raises(DeployError) as caught:
        Kubectl(["hello-secret"], str(loud))("get", "pods")
    assert caught.value.why == "invalid: *** and ***"


def test_a_wrong_token_is_told(stand_in: Cluster, overlay: Path) -> None:
    config = json.loads(stand_in.kubeconfig.read_text())
    config["users"][0]["user"]["token"] = "of-yesterday"
    stand_in.kubeconfig.write_text(json.dumps(config))
    with pytest.raises(DeployError, match="does not accept the credentials"):
        deployed(overlay, references())


def test_an_unreachable_cluster_is_told(stand_in: Cluster, overlay: Path) -> None:
    config = json.loads(stand_in.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    stand_in.kubeconfig.write_text(json.dumps(config))
    with pytest.raises(DeployError, match="cannot be reached"):
        deployed(overlay, references())


def test_a_missing_permission_is_told_and_what_changed_goes_back(
    stand_in: Cluster, overlay: Path
) -> None:
    deployed(overlay, references())
    stand_in.access.forbidden.add(("patch", "cronjobs"))
    outcome, _ = deployed(overlay, references(backend="c"))
    assert outcome.failed == "The cluster does not permit this to the user that kubectl speaks for."
    assert outcome.undone == ["backend"]

    # Nor may a rollback that fails be passed over.
    stand_in.access.forbidden.add(("get", "replicasets"))
    outcome, _ = deployed(overlay, references(backend="c"))
    assert outcome.undone == []
    assert "does not permit" in outcome.left["backend"]
    assert "backend was not rolled back" in outcome.error().fix


def test_kubectl_may_be_missing(overlay: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(DeployError, match="kubectl was not found"):
        deployed(overlay, references())


def test_an_image_by_tag_is_refused(overlay: Path) -> None:
    error = call("--overlay", "staging", "--backend", "registry.example/crimeguard-backend:latest")
    assert "only a digest" in error.why


def test_an_image_that_was_never_pushed_is_refused(overlay: Path) -> None:
    error = call("--overlay", "staging", "--backend", reference("backend", "a"))
    assert error.what == "No image of the frontend is known."
    assert "make push-frontend" in error.fix


def test_an_unknown_overlay_names_those_there_are(overlay: Path) -> None:
    error = call("--overlay", "moon")
    assert "has staging" in error.why


def test_a_dry_run_writes_the_manifests_and_asks_no_cluster(
    overlay: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = tmp_path / "reports/images"
    pushed.mkdir(parents=True)
    for name, image in references().items():
        (pushed / name).write_text(image + "\n")
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    app = typer.Typer()
    app.command()(verb)
    outcome = CliRunner().invoke(app, ["--overlay", "staging", "--dry-run"])
    assert outcome.exit_code == 0, outcome.output
    for image in references().values():
        assert f"image: {image}" in outcome.stdout


def test_an_interrupted_deploy_says_where_it_stopped(tmp_path: Path, overlay: Path) -> None:
    with cluster(tmp_path, pretended(lambda _: UNREADY), deadline=60) as slow:
        options = [f"--{name}={image}" for name, image in references().items()]
        process = subprocess.Popen(
            [sys.executable, "-m", "crimeguard", "deploy", "--overlay=staging", "--secret",
             *options],
            env={**os.environ, **SECRETS, "KUBECONFIG": str(slow.kubeconfig)},
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        until = time.monotonic() + 30
        while not slow.events and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "interrupted while waiting for backend" in " ".join(said.split()), said
    assert "Traceback" not in said
