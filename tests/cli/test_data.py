import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crimeguard.ingest.snapshot import Snapshot
from crimeguard.retrain.data import newest_snapshot
from crimeguard.settings import VARIABLES
from tests.cli.world import contents, crimeguard, refused
from tests.ingest.stores import PASSWORD, USER, StandIn, stand_in
from tests.ingest.test_snapshot import incidents, write

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A remote that the environment names, and an empty folder to be in."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with stand_in() as server:
        for name, value in {"HOME": tmp_path / "home", "DVC_URL": server.url, "DVC_USER": USER,
                            "DVC_PASSWORD": PASSWORD}.items():  # fmt: skip
            monkeypatch.setenv(f"CRIMEGUARD_{name}", str(value))
        yield server


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    return write(incidents(), tmp_path / "home")


@pytest.mark.usefixtures("server")
def test_there_and_back_in_a_folder_without_git(
    snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = crimeguard("data", "push", "--json")
    assert pushed.code == 0, pushed.err
    (told,) = json.loads(pushed.out)["snapshots"]
    assert told["snapshot"] == snapshot.id
    assert told["path"] == f"data/snapshots/{snapshot.id}.dvc"
    assert (told["files"], told["moved_files"]) == (4, 4)
    assert told["bytes"] == sum(file.stat().st_size for file in snapshot.path.iterdir())
    assert pushed.err == ""
    # Pointers are all that is left here, and nothing of it is a secret.
    assert list(contents(Path())) == [f"data/snapshots/{snapshot.id}.dvc"]
    assert PASSWORD not in pushed.out + Path(told["path"]).read_text()

    monkeypatch.setenv("CRIMEGUARD_HOME", str(tmp_path / "fresh"))
    pulled = crimeguard("data", "pull", "--json")
    assert json.loads(pulled.out)["snapshots"][0]["moved_files"] == 4
    found = newest_snapshot(tmp_path / "fresh")
    assert found.id == snapshot.id
    assert contents(found.path) == contents(snapshot.path)

    again = crimeguard("data", "pull")
    assert (again.code, again.out) == (0, "")
    assert "nothing to move" in again.err
    assert "1 snapshots pulled from http://127.0.0.1:" in again.err


@pytest.mark.usefixtures("server", "snapshot")
def test_chosen_snapshots_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = write(incidents(40), tmp_path / "home")
    assert crimeguard("data", "push").code == 0
    monkeypatch.setenv("CRIMEGUARD_HOME", str(tmp_path / "fresh"))
    assert crimeguard("data", "pull", other.id[:6]).code == 0
    assert [path.name for path in (tmp_path / "fresh" / "snapshots").iterdir()] == [other.id]
    refused(crimeguard("data", "pull", "zz"), 1, "begin with 'zz'", other.id)


def test_a_wrong_password_is_said_and_nothing_is_lost(
    server: StandIn, snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert crimeguard("data", "push").code == 0
    before, stored = contents(tmp_path / "home"), dict(server.files)
    monkeypatch.setenv("CRIMEGUARD_DVC_PASSWORD", "wrong-horse")
    pointer = Path(f"data/snapshots/{snapshot.id}.dvc")
    words = (server.url, "401", "CRIMEGUARD_DVC_PASSWORD")
    for command in ("push", "pull"):
        pointer_before = pointer.read_text()
        if command == "pull":
            monkeypatch.setenv("CRIMEGUARD_HOME", str(tmp_path / "fresh"))
        told = crimeguard("data", command, "--json")
        refused(told, 1, *words)
        assert "wrong-horse" not in told.err
        assert pointer.read_text() == pointer_before
    assert contents(tmp_path / "home") == before
    assert server.files == stored
    assert not (tmp_path / "fresh" / "snapshots").exists()


def test_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CRIMEGUARD_DVC_URL", raising=False)
    refused(crimeguard("data", "pull"), 2, "CRIMEGUARD_DVC_URL", "docs/remotes.md")
    monkeypatch.setenv("CRIMEGUARD_DVC_URL", "https://host/x")
    monkeypatch.setenv("CRIMEGUARD_HOME", str(tmp_path))
    refused(crimeguard("data", "pull"), 1, "nothing to pull", "crimeguard data push")
    refused(crimeguard("data", "push"), 1, "There is no snapshot")
    monkeypatch.setenv("CRIMEGUARD_DVC_PASSWORD", "changethis")
    refused(crimeguard("data", "pull"), 2, "CRIMEGUARD_DVC_PASSWORD", "crimeguard secrets")


def test_a_pull_that_was_killed_goes_on(
    server: StandIn, snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert crimeguard("data", "push").code == 0
    monkeypatch.setenv("CRIMEGUARD_HOME", str(tmp_path / "fresh"))
    server.gets, server.hold_after = 0, 3
    incoming = tmp_path / "fresh" / "incoming"
    with subprocess.Popen([sys.executable, "-m", "crimeguard", "data", "pull"]) as child:
        until = time.monotonic() + 60
        # The listing and two files; the other two are held.
        while len([file for file in incoming.glob("*/*") if file.name[0] != "."]) < 3:
            assert child.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)
        child.kill()
    server.go_on.set()
    assert not (tmp_path / "fresh" / "snapshots").exists()
    done = crimeguard("data", "pull", "--json")
    assert json.loads(done.out)["snapshots"][0]["moved_files"] == 2
    assert contents(tmp_path / "fresh" / "snapshots" / snapshot.id) == contents(snapshot.path)
    assert not list(incoming.iterdir())


@pytest.mark.usefixtures("server")
def test_git_carries_the_pointers_and_not_the_data(snapshot: Snapshot) -> None:
    shutil.copy(ROOT / ".gitignore", ".gitignore")
    isolated = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    subprocess.run(["git", "init", "--quiet"], check=True, env=isolated)
    assert crimeguard("data", "push").code == 0
    shutil.copytree(snapshot.path, f"data/snapshots/{snapshot.id}")  # as `dvc pull` would
    Path("data/incidents.csv").write_text("rows")
    Path(".env").write_text("secrets")
    listed = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard"],
        check=True, capture_output=True, text=True, env=isolated,
    ).stdout.split()  # fmt: skip
    assert listed == [".gitignore", f"data/snapshots/{snapshot.id}.dvc"]


def test_the_commands_and_variables_of_the_page_are_there() -> None:
    page = (ROOT / "docs" / "remotes.md").read_text()
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL))
    server = {"MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY",
              "MLFLOW_SERVER_ALLOWED_HOSTS", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION",
              "MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX"}  # fmt: skip
    assert set(re.findall(r"\b([A-Z][A-Z_]+)=", blocks)) <= {*VARIABLES.values()} | server
    used = (ROOT / "tests" / "registry" / "mlflow_server.py").read_text()
    assert all(name in used for name in server)
    for line in re.findall(r"^crimeguard (.*)$", blocks, re.MULTILINE):
        assert crimeguard(*line.split(), "--help").code == 0, line
    regex = re.search(r"REGEX='(.*?)'", blocks)
    assert regex is not None
    assert regex[1] in used
