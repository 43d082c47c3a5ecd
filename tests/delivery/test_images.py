"""The images, built as a person builds them, and run as they are meant to be run."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from crimeguard.cli.up import EXAMPLE
from tests.delivery.conftest import ROOT, _free_port, build
from tests.delivery.engine import Engine

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("engine")]

HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL",
            "--security-opt", "no-new-privileges", "--network", "host")  # fmt: skip
HOME = ("--tmpfs", "/var/lib/crimeguard:uid=10001,gid=10001,mode=0700")
LARGEST = 600_000_000  # bytes on disk, of the backend
# What trains, watches or shows, as distributions are called.
TRAINING = {
    "mlflow", "evidently", "deepchecks", "dvc", "streamlit", "matplotlib", "scikit-learn",
    "pandas", "pyarrow", "pandera", "plotly", "pydeck", "jinja2", "hatchling", "moto",
}  # fmt: skip
TOOLS = {"pip", "uv", "setuptools", "wheel"}
NAMES = ("backend", "frontend")


@dataclass(frozen=True)
class Container:
    """A running container; `url` is where it answers."""

    engine: Engine
    name: str
    url: str
    key: str = ""

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command inside; return what it wrote."""
        done = self.engine.docker("exec", self.name, *command, check=check)
        return done.stdout + done.stderr

    def state(self, template: str) -> str:
        """Return one thing that the engine knows of it."""
        return self.engine.docker("inspect", "--format", template, self.name).stdout.strip()

    def wait(self, reached: Callable[[], bool], what: str) -> None:
        """Wait until it is so; an AssertionError with its log after a minute."""
        end = time.monotonic() + 60
        while not reached():
            if time.monotonic() > end:
                logs = self.engine.docker("logs", self.name)
                raise AssertionError(f"{what}\n{logs.stdout}\n{logs.stderr}")
            time.sleep(0.2)

    def answers(self, path: str) -> bool:
        try:
            return httpx.get(self.url + path, timeout=5).status_code == 200
        except httpx.TransportError:
            return False


def new_key() -> tuple[str, str]:
    """Return a key, and the entry by which the API knows it."""
    key = f"cg_{secrets.token_urlsafe(32)}"
    return key, f"tests:predict+label:{hashlib.sha256(key.encode()).hexdigest()}"


@pytest.fixture(scope="module")
def backend(engine: Engine, images: dict[str, str], tiny_bundle: Path) -> Iterator[Container]:
    port, (key, entry) = str(_free_port()), new_key()
    name = f"crimeguard-i-{port}"
    engine.docker(
        "run", "--detach", "--name", name, *HARDENED, *HOME,
        "--volume", f"{tiny_bundle}:/bundle:ro", "--env", "CRIMEGUARD_BUNDLE=/bundle",
        "--env", f"CRIMEGUARD_PORT={port}", "--env", f"CRIMEGUARD_API_KEYS={entry}",
        # Only what is asked for here; an image that listens on all by default is no harm then.
        "--env", "CRIMEGUARD_HOST=127.0.0.1", "--health-interval", "1s", images["backend"],
    )  # fmt: skip
    made = Container(engine, name, f"http://127.0.0.1:{port}", key)
    try:
        made.wait(lambda: made.answers("/readyz"), "the API does not get ready")
        yield made
    finally:
        engine.docker("rm", "--force", name)


@pytest.fixture(scope="module")
def frontend(engine: Engine, images: dict[str, str]) -> Iterator[Container]:
    port = str(_free_port())
    name = f"crimeguard-i-{port}"
    engine.docker(
        "run", "--detach", "--name", name, *HARDENED, *HOME,
        "--env", f"CRIMEGUARD_UI_PORT={port}", "--env", "CRIMEGUARD_UI_HOST=127.0.0.1",
        "--health-interval", "1s", images["frontend"],
    )  # fmt: skip
    made = Container(engine, name, f"http://127.0.0.1:{port}")
    try:
        made.wait(lambda: made.answers("/_stcore/health"), "the console does not come up")
        yield made
    finally:
        engine.docker("rm", "--force", name)


def inside(engine: Engine, image: str, program: str) -> Any:
    """Run Python in an image; return the JSON that it prints."""
    done = engine.docker("run", "--rm", *HARDENED, *HOME, "--entrypoint", "python", image, "-c",
                         program)  # fmt: skip
    return json.loads(done.stdout)


INSTALLED = """
import importlib.metadata as m, json
print(json.dumps({d.name.lower().replace("_", "-"): d.version for d in m.distributions()}))
"""


def test_it_answers_a_prediction(backend: Container) -> None:
    said = httpx.post(backend.url + "/predict", json=EXAMPLE, headers={"X-API-Key": backend.key})
    assert said.status_code == 200, said.text
    body = said.json()
    assert body["information_level"] == "report"
    assert sum(body["probabilities"].values()) == pytest.approx(1, abs=1e-6)


def test_it_answers_nobody_without_a_key(backend: Container) -> None:
    assert httpx.post(backend.url + "/predict", json=EXAMPLE).status_code == 401


def test_health_is_seen_by_the_engine(backend: Container, frontend: Container) -> None:
    for made in (backend, frontend):
        made.wait(lambda made=made: made.state("{{.State.Health.Status}}") == "healthy",  # type: ignore[misc]
                  "not healthy")  # fmt: skip


def test_it_is_nobody_and_can_nothing(backend: Container, frontend: Container) -> None:
    for made in (backend, frontend):
        assert made.run("id", "-u").strip() == "10001"
        status = made.run("cat", "/proc/1/status")
        assert set(re.findall(r"^Cap\w+:\s*(\w+)$", status, re.MULTILINE)) == {"0" * 16}
        assert re.search(r"^NoNewPrivs:\s*1$", status, re.MULTILINE)


@pytest.mark.parametrize("place", ["/", "/opt/crimeguard", "/etc", "/usr/share/crimeguard", "/mnt"])
def test_nothing_is_written_outside_its_home(
    backend: Container, frontend: Container, place: str
) -> None:
    for made in (backend, frontend):
        said = made.run("touch", f"{place.rstrip('/')}/mark", check=False)
        assert "Read-only file system" in said


def test_its_home_is_its_own(backend: Container) -> None:
    backend.run("test", "-s", "/var/lib/crimeguard/records.db")
    assert backend.run("stat", "-c", "%u %a", "/var/lib/crimeguard").split() == ["10001", "700"]


@pytest.mark.parametrize("name", NAMES)
def test_the_program_itself_belongs_to_root(
    engine: Engine, images: dict[str, str], name: str
) -> None:
    """So a hole in it changes nothing of it, not even where the root is not read-only."""
    found = engine.docker("run", "--rm", *HARDENED, "--entrypoint", "find", images[name],
                          "/opt", "/usr/local", "-xdev", "(", "-not", "-user", "root", "-o",
                          "-perm", "/022", "-not", "-type", "l", ")")  # fmt: skip
    assert found.stdout == ""


def test_the_backend_refuses_to_be_open(engine: Engine, images: dict[str, str]) -> None:
    done = engine.docker("run", "--rm", *HARDENED, *HOME, images["backend"], check=False)
    assert done.returncode == 2
    assert "no API keys" in done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_builds_is_left(engine: Engine, images: dict[str, str], name: str) -> None:
    assert not set(inside(engine, images[name], INSTALLED)) & TOOLS
    look = "import json, shutil; print(json.dumps([n for n in %r if shutil.which(n)]))"
    names = ["pip", "pip3", "uv", "gcc", "cc", "g++", "make", "ld", "strip", "git"]
    assert inside(engine, images[name], look % names) == []
    system = engine.docker("run", "--rm", *HARDENED, "--entrypoint", "/usr/bin/env",
                           images[name], "-i", "sh", "-c",
                           "for p in /usr/bin/python3 /usr/local/bin/python3; do "
                           "[ ! -e $p ] || $p -c 'import pip' 2>&1 | tail -1; done; "
                           "ls -A /root /var/lib/apt/lists /var/cache/apt/archives 2>/dev/null",
                           check=False).stdout  # fmt: skip
    assert "No module named 'pip'" in system
    assert ".cache" not in system
    assert ".deb\n" not in system


def test_the_backend_holds_nothing_that_trains(engine: Engine, images: dict[str, str]) -> None:
    installed = inside(engine, images["backend"], INSTALLED)
    assert not set(installed) & TRAINING
    assert {"crimeguard", "lightgbm", "xgboost-cpu", "mlflow-skinny"} <= set(installed)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_installed_is_what_is_locked(
    engine: Engine, images: dict[str, str], name: str
) -> None:
    lock = (
        ROOT / "requirements" / {"backend": "serve.txt", "frontend": "ui.txt"}[name]
    ).read_text()
    locked = dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", lock, re.MULTILINE))
    installed = inside(engine, images[name], INSTALLED)
    del installed["crimeguard"]
    assert {n: v for n, v in installed.items() if locked.get(n.replace(".", "-")) != v} == {}


def test_the_backend_is_small(engine: Engine, images: dict[str, str]) -> None:
    size = engine.docker("image", "inspect", "--format", "{{.Size}}", images["backend"]).stdout
    assert int(size) <= LARGEST


@pytest.mark.parametrize("name", NAMES)
def test_the_sbom_lists_what_is_installed(
    engine: Engine, images: dict[str, str], name: str
) -> None:
    text = (ROOT / "reports" / "images" / f"{name}.cdx.json").read_text()
    within = engine.docker("run", "--rm", *HARDENED, "--entrypoint", "cat", images[name],
                           "/usr/share/crimeguard/sbom.cdx.json").stdout  # fmt: skip
    assert text == within
    parts = json.loads(text)["components"]
    python = {part["name"].lower().replace("_", "-"): part["version"] for part in parts
              if str(part.get("purl", "pkg:pypi/")).startswith("pkg:pypi/")}  # fmt: skip
    installed = inside(engine, images[name], INSTALLED)
    assert {n: v for n, v in installed.items() if python.get(n) != v} == {}
    debian = {part["name"]: part["version"] for part in parts
              if str(part.get("purl", "")).startswith("pkg:deb/")}  # fmt: skip
    listed = engine.docker("run", "--rm", *HARDENED, "--entrypoint", "dpkg-query", images[name],
                           "--show", "--showformat",
                           "${db:Status-Abbrev}|${Package}|${Version}\n")  # fmt: skip
    there = dict(line.split("|")[1:] for line in listed.stdout.splitlines() if line[:2] == "ii")
    assert debian == there
    assert {"libgomp1", "libc6"} <= set(debian)
    assert {"python", "debian"} <= {part["name"] for part in parts}


def test_the_sbom_is_valid(images: dict[str, str]) -> None:
    assert images
    text = (ROOT / "reports" / "images" / "backend.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


@pytest.mark.parametrize("name", NAMES)
def test_the_labels_say_what_it_is(engine: Engine, images: dict[str, str], name: str) -> None:
    found = json.loads(engine.docker("image", "inspect", "--format", "{{json .Config.Labels}}",
                                     images[name]).stdout)  # fmt: skip
    prefix = "org.opencontainers.image."
    assert found[prefix + "title"] == f"crimeguard-{name}"
    assert found[prefix + "licenses"] == "Apache-2.0"
    assert re.fullmatch(r"\d+\.\d+\.\d+", found[prefix + "version"])
    assert re.fullmatch(r"[0-9a-f]{40}", found[prefix + "revision"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found[prefix + "created"])


@pytest.mark.parametrize("name", NAMES)
def test_no_secret_is_in_the_history(engine: Engine, images: dict[str, str], name: str) -> None:
    history = engine.docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", images[name])
    environ = engine.docker("image", "inspect", "--format", "{{json .Config.Env}}", images[name])
    said = history.stdout + environ.stdout
    assert "requirements" in said or "crimeguard" in said
    assert not re.search(r"(?i)password|secret|token|api_key=|cg_[\w-]{43}", said)


def test_no_source_tree_and_no_state_came_along(engine: Engine, images: dict[str, str]) -> None:
    for image in images.values():
        found = engine.docker(
            "run", "--rm", *HARDENED, "--entrypoint", "find", image, "/opt", "/etc", "/var",
            "/source", "-name", ".env*", "-o", "-name", ".git", "-o", "-name", "*.db", "-o",
            "-path", "/source/*", check=False,
        )  # fmt: skip
        assert found.stdout == ""


def test_the_stop_is_orderly(backend: Container, frontend: Container) -> None:
    """The last test: requests in flight are answered by a server that was asked to stop."""
    for made in (backend, frontend):
        # Whoever does not end by itself is killed, and then has another exit code.
        made.engine.docker("stop", "--time", "25", made.name)
        assert made.state("{{.State.ExitCode}} {{.State.OOMKilled}}") == "0 false"
    logs = backend.engine.docker("logs", backend.name)
    assert "Application shutdown complete" in logs.stderr


@pytest.mark.slow
@pytest.mark.skipif(
    "CRIMEGUARD_TEST_TRAINER" not in os.environ,
    reason="takes two minutes; CRIMEGUARD_TEST_TRAINER=1 builds the trainer",
)
def test_the_trainer_trains_judges_and_has_its_second_environment(
    engine: Engine, base_image: str
) -> None:
    assert base_image
    image = build(engine, "trainer")
    suite = ["sh", "-c", "$CRIMEGUARD_DEEPCHECKS_PYTHON -c 'import deepchecks.tabular.suites'"]
    engine.docker("run", "--rm", *HARDENED, *HOME, "--entrypoint", suite[0], image, *suite[1:])
    done = engine.docker(
        "run", "--rm", *HARDENED, *HOME, "--entrypoint", "sh", image, "-c",
        "crimeguard simulate --rows 6000 --out /tmp/a.csv --from 2023-01-01 --to 2023-03-31 && "
        "crimeguard train --data /tmp/a.csv && crimeguard history --json", timeout=900,
    )  # fmt: skip
    assert '"promotion"' in done.stdout
