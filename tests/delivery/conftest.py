import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.delivery.engine import Engine, UnavailableError, ensure_base, open_engine, run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A container engine with the host's network, for builds."""
    yield from _opened(network=False)


@pytest.fixture(scope="session")
def network_engine() -> Iterator[Engine]:
    """A container engine in a network namespace: bridges, published ports, no way out."""
    yield from _opened(network=True)


def _opened(*, network: bool) -> Iterator[Engine]:
    opening = open_engine(network=network)
    try:
        found = opening.__enter__()
    except UnavailableError as error:
        pytest.skip(f"no container engine: {error}")
    try:
        yield found
    finally:
        opening.__exit__(None, None, None)


@pytest.fixture(scope="session")
def base_image(engine: Engine) -> str:
    """The name of the base image, which `engine` holds."""
    return ensure_base(engine)


@pytest.fixture(scope="session")
def images(engine: Engine, base_image: str) -> dict[str, str]:
    """Return the tags of the backend's and the frontend's image, built as a person does."""
    return {name: build(engine, name) for name in ("backend", "frontend")}


def build(engine: Engine, name: str) -> str:
    """Build an image by the script that `make image-NAME` runs; return its tag."""
    env = {**engine.env, "TAG": "tested"}
    env.pop("REGISTRY", None)
    run([str(ROOT / "deploy/docker/build"), name], env=env, cwd=ROOT, timeout=1500)
    return f"crimeguard-{name}:tested"


@dataclass(frozen=True)
class Registry:
    """An image registry with a login; `address` is host and port."""

    address: str
    user: str
    password: str


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Debian's docker-registry on loopback, open to one user."""
    for tool in ("docker-registry", "htpasswd"):
        if shutil.which(tool) is None:
            pytest.skip(f"no container engine's registry: {tool} is not installed")
    folder = tmp_path_factory.mktemp("registry")
    user, password = "robot", secrets.token_urlsafe(16)
    made = run(["htpasswd", "-Bbn", user, password], env=os.environ)
    (folder / "htpasswd").write_text(made.stdout)
    address = f"127.0.0.1:{_free_port()}"
    (folder / "config.yml").write_text(_REGISTRY.format(folder=folder, address=address))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log
        )
    try:
        _wait_for(address, process)
        yield Registry(address, user, password)
    finally:
        process.terminate()
        process.wait(timeout=20)


_REGISTRY = """\
version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: {folder}/images}}
http: {{addr: "{address}"}}
auth:
  htpasswd: {{realm: registry, path: {folder}/htpasswd}}
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    host, port = address.split(":")
    for _ in range(100):
        assert process.poll() is None, "the registry ended"
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"{address} does not answer")
