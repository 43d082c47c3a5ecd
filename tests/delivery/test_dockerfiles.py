"""What can be said of the images before any is built."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.delivery.conftest import ROOT

FOLDER = ROOT / "deploy" / "docker"
DOCKERFILES = sorted(FOLDER.glob("*.Dockerfile"))
STAND_INS = ROOT / "tests/delivery/compose/stand-ins.Dockerfile"
SCRIPTS = [FOLDER / name for name in ("build", "push", "login", "install", "every")]
SCRIPTS += [FOLDER / "mlflow-server", ROOT / "deploy/postgres/init.sh"]

each = pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.stem)


def stages(file: Path) -> list[str]:
    return re.split(r"^(?=FROM )", file.read_text(), flags=re.MULTILINE)[1:]


def test_there_is_one_of_each() -> None:
    assert [file.stem for file in DOCKERFILES] == ["backend", "frontend", "mlflow", "trainer"]


@pytest.mark.parametrize("file", [*DOCKERFILES, STAND_INS], ids=lambda file: file.stem)
def test_hadolint_finds_nothing(file: Path) -> None:
    program = Path(sys.executable).with_name("hadolint")
    options = ["--failure-threshold", "style"]
    if file == STAND_INS:
        # Of no use to anybody else: versions follow the machine's Debian.
        options += ["--ignore", "DL3008"]
    found = subprocess.run([program, *options, file], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_hadolint_would_find_something(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM debian:latest\nRUN cd /tmp && apt-get install curl\n")
    program = Path(sys.executable).with_name("hadolint")
    assert subprocess.run([program, bad], capture_output=True, check=False).returncode != 0


@each
def test_no_finding_is_ignored_in_silence(file: Path) -> None:
    assert "hadolint ignore" not in file.read_text()


@each
def test_it_ends_as_somebody_without_rights(file: Path) -> None:
    last = stages(file)[-1]
    assert re.findall(r"^USER (.+)$", last, re.MULTILINE) == ["10001:10001"]


@each
def test_signals_reach_the_program(file: Path) -> None:
    last = stages(file)[-1]
    assert re.search(r'^ENTRYPOINT \["', last, re.MULTILINE)
    assert not re.search(r"^(CMD|ENTRYPOINT) [^\[]", last, re.MULTILINE)
    assert "STOPSIGNAL SIGTERM" in last


@each
def test_health_is_asked_or_there_is_nothing_to_ask(file: Path) -> None:
    asked = re.findall(r"^HEALTHCHECK (\S+)", stages(file)[-1], re.MULTILINE)
    assert len(asked) == 1
    assert (asked[0] == "NONE") == (file.stem == "trainer")


@each
def test_labels_are_those_of_the_open_container_initiative(file: Path) -> None:
    labels = set(re.findall(r"org\.opencontainers\.image\.([a-z]+)=", file.read_text()))
    assert labels == {"title", "description", "licenses", "source", "version", "revision",
                      "created"}  # fmt: skip


@each
def test_everything_installed_is_locked_with_hashes(file: Path) -> None:
    text = file.read_text()
    assert not re.search(r"pip install|uv pip|curl|wget", text)
    locks = re.findall(r"requirements/([a-z]+\.txt)", text)
    assert len(locks) >= 3
    for name in locks:
        assert "--hash=sha256:" in (ROOT / "requirements" / name).read_text()
    install = (FOLDER / "install").read_text()
    for line in re.findall(r".*(?:pip sync|bin/pip install|uv\" build).*", install):
        assert "--require-hashes" in line or line.rstrip().endswith("\\"), line


@each
def test_the_base_is_named_and_nothing_is_fetched_to_read_the_file(file: Path) -> None:
    text = file.read_text()
    assert re.findall(r"^ARG BASE=(.*)$", text, re.MULTILINE) == ["python:3.11-slim-bookworm"]
    assert "# syntax" not in text
    assert {line.split()[1] for line in stages(file)} <= {"${BASE}", "tools", "environment"}


@each
def test_only_what_was_made_leaves_the_build(file: Path) -> None:
    for line in re.findall(r"^COPY (.*)$", stages(file)[-1], re.MULTILINE):
        assert line.startswith(("--from=", "deploy/docker/", "params.yaml")), line


def test_the_backend_installs_what_serves_and_nothing_else() -> None:
    text = (FOLDER / "backend.Dockerfile").read_text()
    assert re.findall(r"/tools/install environment (/\S+) /\S*?([a-z]+)\.txt", text) == [
        ("/sbom/env", "sbom"), ("/opt/crimeguard", "serve"),
    ]  # fmt: skip


def allowed(path: str) -> bool:
    """Whether .dockerignore lets a path into the build, by Docker's rule: the last match wins."""
    inside = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = re.escape(line.removeprefix("!")).replace(r"\*\*/", "(.*/)?")
        if re.fullmatch(pattern.replace(r"\*", "[^/]*") + "(/.*)?", path):
            inside = line.startswith("!")
    return inside


@pytest.mark.parametrize("path", [
    ".env", ".env.production", ".git/config", ".venv/bin/python", "data/crimes.csv",
    ".crimeguard/records.db", ".dvc/config.local", "reports/images/backend", "tests/conftest.py",
    "src/.env.pyc", "src/crimeguard/__pycache__/a.cpython-311.pyc", "kubeconfig", "node_modules/a",
    "monitoring/drift_detected", "bundle/manifest.json", "mlruns/0/meta.yaml",
])  # fmt: skip
def test_no_data_and_no_secret_enters_a_build(path: str) -> None:
    assert not allowed(path)


@pytest.mark.parametrize("path", [
    "pyproject.toml", "src/crimeguard/serve/app.py", "src/crimeguard/domain/data/areas.csv",
    "requirements/serve.txt", "deploy/docker/install", "params.yaml", "LICENSE", "README.md",
])  # fmt: skip
def test_what_is_built_from_does(path: str) -> None:
    assert (ROOT / path).exists()
    assert allowed(path)


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_the_scripts_are_programs_that_parse(file: Path) -> None:
    assert file.stat().st_mode & 0o111
    lines = file.read_text().splitlines()
    shell = "bash" if "bash" in lines[0] else "sh"
    assert any(line.startswith("set -") and "u" in line for line in lines)
    subprocess.run([shell, "-n", file], check=True)


def test_a_password_is_never_an_argument(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    stub = tmp_path / "docker"
    stub.write_text(f'#!/bin/sh\necho "$@" > {seen}\ncat > {seen}.password\n')
    stub.chmod(0o755)
    for registry, host in (
        ("docker.io/example", "docker.io"), ("example", "docker.io"),
        ("127.0.0.1:5001/team", "127.0.0.1:5001"), ("ghcr.io/a/b", "ghcr.io"),
    ):  # fmt: skip
        done = subprocess.run(
            [FOLDER / "login"], capture_output=True, text=True, check=True,
            env={"PATH": f"{tmp_path}:/usr/bin:/bin", "REGISTRY": registry,
                 "DOCKER_USER": "robot", "DOCKER_PASSWORD": "hush-hush"},
        )  # fmt: skip
        assert seen.read_text().split() == ["login", "--username", "robot", "--password-stdin",
                                            host]  # fmt: skip
        assert (tmp_path / "seen.password").read_text() == "hush-hush"
        assert "hush" not in done.stdout + done.stderr


@pytest.mark.parametrize("missing", ["DOCKER_USER", "DOCKER_PASSWORD"])
def test_a_login_without_its_secret_says_so(missing: str) -> None:
    env = {"PATH": "/usr/bin:/bin", "DOCKER_USER": "robot", "DOCKER_PASSWORD": "x"}
    del env[missing]
    done = subprocess.run([FOLDER / "login"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert missing in done.stderr


def test_work_on_a_schedule_goes_on_after_a_failure_and_ends_when_asked(tmp_path: Path) -> None:
    note = tmp_path / "note"
    with subprocess.Popen(
        [FOLDER / "every", "0.05s", "sh", "-c", f"echo ran >> {note}; exit 3"],
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        for _ in range(3):
            assert "ended with 3" in process.stderr.readline()
        process.terminate()
        assert process.wait(timeout=10) == 0
    assert note.read_text().count("ran") >= 3


def test_work_that_runs_is_asked_to_end(tmp_path: Path) -> None:
    program = "trap 'echo tidy; exit 0' TERM; echo began; while true; do sleep 0.05; done"
    command = [str(FOLDER / "every"), "1d", "bash", "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "began\n"
        process.terminate()
        assert process.wait(timeout=10) == 0
        assert process.stdout.read() == "tidy\n"


@pytest.mark.parametrize("value", [None, "", "changethis"])
def test_mlflow_does_not_start_without_its_secrets(value: str | None) -> None:
    names = ("MLFLOW_BACKEND_STORE_URI", "MLFLOW_ARTIFACTS_DESTINATION",
             "MLFLOW_AUTH_ADMIN_USERNAME", "MLFLOW_AUTH_ADMIN_PASSWORD",
             "MLFLOW_FLASK_SERVER_SECRET_KEY", "MLFLOW_SERVER_ALLOWED_HOSTS")  # fmt: skip
    env = {"PATH": "/usr/bin:/bin", **dict.fromkeys(names, "something")}
    env.pop("MLFLOW_AUTH_ADMIN_PASSWORD")
    if value is not None:
        env["MLFLOW_AUTH_ADMIN_PASSWORD"] = value
    assert shutil.which("mlflow", path=env["PATH"]) is None
    done = subprocess.run([FOLDER / "mlflow-server"], env=env, capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 2
    assert "MLFLOW_AUTH_ADMIN_PASSWORD" in done.stderr
