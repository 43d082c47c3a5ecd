"""The real `dvc` on snapshots: a directory output like any other, in both directions.

The program is run as its users run it, in a git repository, against a folder and S3.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crimeguard.ingest import exchange
from crimeguard.ingest.pointer import Pointer
from crimeguard.ingest.remote import open_remote
from crimeguard.ingest.snapshot import Snapshot
from crimeguard.settings import Settings
from tests.cli.world import contents
from tests.ingest.stores import S3, s3_server
from tests.ingest.test_snapshot import incidents, write

DVC = Path(sys.executable).with_name("dvc")


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with s3_server("crimes") as server:
        yield server


@pytest.fixture(params=["folder", "s3"])
def settings(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """A remote of each kind, named by the settings and for `dvc` by the environment."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    if request.param == "folder":
        (tmp_path / "store").mkdir()
        return Settings(home=tmp_path / "home", dvc_url=str(tmp_path / "store"))
    s3: S3 = request.getfixturevalue("s3")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret)
    return Settings(
        home=tmp_path / "home", dvc_url=f"s3://crimes/{tmp_path.name}", dvc_endpoint=s3.endpoint,
        aws_access_key_id=s3.key, aws_secret_access_key=s3.secret,
    )  # fmt: skip


class Workspace:
    """A git repository with `dvc` in it."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self.snapshots = folder / "data" / "snapshots"
        self.snapshots.mkdir(parents=True)
        self._env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        self.run("git", "init", "--quiet")
        (folder / ".dvc").mkdir()
        endpoint = f"endpointurl = {settings.dvc_endpoint}" if settings.dvc_endpoint else ""
        (folder / ".dvc" / "config").write_text(
            f"[core]\nremote = team\n['remote \"team\"']\nurl = {settings.dvc_url}\n{endpoint}\n"
        )

    def run(self, *words: str) -> str:
        done = subprocess.run(words, cwd=self.folder, env=self._env, capture_output=True,
                              text=True, check=False)  # fmt: skip
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def dvc(self, *words: str) -> str:
        return self.run(str(DVC), *words)

    def status(self, *words: str) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.dvc("status", "--json", *words) or "{}")
        return found


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    return write(incidents(), tmp_path / "home")


@pytest.mark.slow
def test_dvc_takes_what_we_pushed_for_an_output_of_its_own(
    settings: Settings, snapshot: Snapshot, tmp_path: Path
) -> None:
    work = Workspace(tmp_path / "work", settings)
    with open_remote(settings) as remote:
        exchange.push(snapshot, work.snapshots, remote)
    pointer = f"data/snapshots/{snapshot.id}.dvc"
    work.dvc("pull", "--quiet")
    found = work.snapshots / snapshot.id
    assert contents(found) == contents(snapshot.path)
    assert Snapshot.load(found).frame().equals(snapshot.frame())
    assert work.status() == {}
    # Everything lies in the remote under the names that dvc would give it.
    assert "up to date" in work.dvc("push")
    if settings.dvc_endpoint:
        return  # what follows does not ask the remote
    # A file that changes is seen, and comes back.
    (found / "2023-01.parquet").unlink()
    assert list(work.status()) == [pointer]
    work.dvc("checkout", "--quiet", "--force", pointer)
    assert contents(found) == contents(snapshot.path)


@pytest.mark.slow
def test_we_take_what_dvc_added_and_pushed(
    settings: Settings, snapshot: Snapshot, tmp_path: Path
) -> None:
    work = Workspace(tmp_path / "work", settings)
    shutil.copytree(snapshot.path, work.snapshots / snapshot.id)
    work.dvc("add", "--quiet", f"data/snapshots/{snapshot.id}")
    work.dvc("push", "--quiet")
    theirs = Pointer.read(work.snapshots / f"{snapshot.id}.dvc")
    assert theirs.content_sha256 == ""
    with open_remote(settings) as remote:
        pulled = exchange.pull(theirs, tmp_path / "fresh", remote)
        assert contents(pulled.path) == contents(snapshot.path)
        assert exchange.pull(theirs, tmp_path / "fresh", remote).files == 0
        # Our pointer is theirs, and the digest of the rows besides.
        ours = exchange.push(snapshot, tmp_path / "pointers", remote)
    assert ours.files == 0
    assert (ours.pointer.oid, ours.pointer.size) == (theirs.oid, theirs.size)
