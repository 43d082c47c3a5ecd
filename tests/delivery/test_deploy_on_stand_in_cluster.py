"""`crimeguard deploy` with the real manifests, kubectl and images; only the API is a stand-in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from crimeguard.serve.keys import Scope, make_key
from tests.delivery.cluster import Cluster, cluster
from tests.delivery.conftest import Registry
from tests.delivery.engine import Engine
from tests.delivery.pods import EnginePods

pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.xdist_group("engine"),
    pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed"),
]
ROOT = Path(__file__).parents[2]
NAMESPACE = "crimeguard-staging"


@dataclass
class Site:
    """A stand-in cluster, and images by digest in a registry that it pulls from."""

    cluster: Cluster
    images: dict[str, str]
    secrets: dict[str, str]

    def deploy(self, backend: str) -> subprocess.CompletedProcess[str]:
        given = {**self.images, "backend": backend}
        return subprocess.run(
            [sys.executable, "-m", "crimeguard", "deploy", "--overlay=staging", "--timeout=2m",
             "--secret", *(f"--{name}={image}" for name, image in given.items())],
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=400,
            env={**os.environ, **self.secrets, "KUBECONFIG": str(self.cluster.kubeconfig)},
        )  # fmt: skip


@pytest.fixture(scope="module")
def pushed(
    engine: Engine, images: dict[str, str], registry: Registry,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, str]]:  # fmt: skip
    """References by digest: backend and frontend, and a backend that ends at once."""
    engine.docker("login", "--username", registry.user, "--password-stdin", registry.address,
                  text=registry.password)  # fmt: skip
    folder = tmp_path_factory.mktemp("broken")
    (folder / "Dockerfile").write_text(
        f'FROM {images["backend"]}\nENTRYPOINT ["crimeguard", "--no-such-option"]\n'
    )
    engine.docker("build", "--tag", "crimeguard-backend:broken", str(folder))
    tags = {**images, "broken": "crimeguard-backend:broken"}
    references = {}
    for name, tag in tags.items():
        remote = f"{registry.address}/crimeguard-{name}:tested"
        engine.docker("tag", tag, remote)
        said = engine.docker("push", remote).stdout
        digest = said.split("digest: ")[1].split()[0]
        references[name] = f"{registry.address}/crimeguard-{name}@{digest}"
        # From here on only the registry has it under this name: it must be pulled by digest.
        engine.docker("rmi", remote, references[name], check=False)
    yield references
    engine.docker("logout", registry.address)


@pytest.fixture(scope="module")
def site(
    engine: Engine, pushed: dict[str, str], tiny_bundle: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:  # fmt: skip
    folder = tmp_path_factory.mktemp("site")
    bundle = folder / "bundle"
    shutil.copytree(tiny_bundle, bundle)
    for path in (bundle, *bundle.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    # There is no registry of models here: the bundle in production lies in a folder.
    more = {"backend": ["--volume", f"{bundle}:/bundle:ro", "--env=CRIMEGUARD_BUNDLE=/bundle"]}
    secret, key = make_key("console", [Scope.PREDICT])
    secrets = {
        "MLFLOW_TRACKING_USERNAME": "robot", "MLFLOW_TRACKING_PASSWORD": "9sk2-kd93-jf81",
        "CRIMEGUARD_RECORDS_URL": "sqlite:////var/lib/crimeguard/records.db",
        "CRIMEGUARD_API_KEYS": key.entry(), "CRIMEGUARD_API_KEY": secret,
    }  # fmt: skip
    trainer = pushed["backend"].replace("crimeguard-backend@", "crimeguard-trainer@")
    images = {"frontend": pushed["frontend"], "trainer": trainer}
    with cluster(folder, EnginePods(engine, more)) as running:
        yield Site(running, images, secrets)


def test_a_deploy_serves_and_a_broken_build_goes_back_by_itself(
    site: Site, pushed: dict[str, str]
) -> None:
    first = site.deploy(pushed["backend"])
    assert first.returncode == 0, first.stderr + "\n".join(site.cluster.events)
    serving = {"backend": [pushed["backend"]], "frontend": [pushed["frontend"]]}
    assert site.cluster.running(NAMESPACE) == serving

    site.cluster.deadline = 5
    second = site.deploy(pushed["broken"])
    said = " ".join(second.stderr.split())
    assert second.returncode == 1, said
    assert "backend did not become ready" in said
    assert "CrashLoopBackOff" in said
    assert "no-such-option" in said
    assert "Rolled back: backend." in said
    assert site.cluster.running(NAMESPACE) == serving
    assert site.cluster.deployments(NAMESPACE)["backend"] == pushed["backend"]
    for secret in site.secrets.values():
        assert secret == "robot" or secret not in first.stderr + second.stderr
