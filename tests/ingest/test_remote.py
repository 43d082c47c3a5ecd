import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from crimeguard.domain.errors import RemoteError, UsageError
from crimeguard.ingest import exchange
from crimeguard.ingest.pointer import Pointer, pointer_to
from crimeguard.ingest.remote import Remote, md5_of, open_remote
from crimeguard.ingest.snapshot import Snapshot, write_snapshot
from crimeguard.settings import Settings
from tests.cli.world import contents
from tests.ingest.stores import PASSWORD, S3, USER, dav_server, nginx, s3_server, stand_in

KINDS = ("s3", "dav", "http", "folder")
Bad = tuple[dict[str, Any], str]
Opens = Callable[[Settings], Remote]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with s3_server("crimes") as server:
        yield server


@pytest.fixture(scope="module")
def dav(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = nginx()
    if program is None:
        pytest.skip("nginx is not installed")
    with dav_server(program, tmp_path_factory.mktemp("dav") / "nginx") as url:
        yield url


@pytest.fixture
def settings(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """Settings that name an empty place in a store, of the kind asked for."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    # The S3 client tries again for ten seconds when nobody answers.
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    kind, home = request.param, Settings(home=tmp_path / "home")
    if kind == "s3":
        s3: S3 = request.getfixturevalue("s3")
        yield replace(home, dvc_url=f"s3://crimes/{tmp_path.name}", dvc_endpoint=s3.endpoint,
                      aws_access_key_id=s3.key, aws_secret_access_key=s3.secret)  # fmt: skip
    elif kind == "dav":
        url = request.getfixturevalue("dav")
        yield replace(home, dvc_url=f"{url}/{tmp_path.name}", dvc_user=USER,
                      dvc_password=PASSWORD, dvc_method="PUT")  # fmt: skip
    elif kind == "http":
        with stand_in() as server:
            yield replace(home, dvc_url=server.url, dvc_user=USER, dvc_password=PASSWORD)
    else:
        (tmp_path / "store").mkdir()
        yield replace(home, dvc_url=str(tmp_path / "store"))


@pytest.fixture
def opened() -> Iterator[Opens]:
    """Return what opens a remote, as another process would; closed at the end."""
    with ExitStack() as stack:
        yield lambda settings: stack.enter_context(open_remote(settings))


@pytest.fixture
def snapshot(incidents: pl.DataFrame, tmp_path: Path) -> Snapshot:
    return write_snapshot(incidents, tmp_path / "home", source="a test")


@pytest.mark.parametrize("settings", KINDS, indirect=True)
def test_what_is_pushed_comes_back_the_same_bytes(
    settings: Settings, opened: Opens, snapshot: Snapshot, tmp_path: Path
) -> None:
    remote, pointers = opened(settings), tmp_path / "pointers"
    pushed = exchange.push(snapshot, pointers, remote)
    assert pushed.files == len(contents(snapshot.path)) == 3
    pointer = Pointer.read(pushed.path)
    assert pointer == pushed.pointer
    pulled = exchange.pull(pointer, tmp_path / "other", opened(settings))
    assert pulled.files == 3
    assert contents(pulled.path) == contents(snapshot.path)
    assert Snapshot.load(pulled.path).frame().equals(snapshot.frame())
    assert [path.name for path in (tmp_path / "other").rglob("*") if path.is_dir()] == [
        "incoming", "snapshots", snapshot.id,
    ]  # fmt: skip
    # Once more moves nothing, either way.
    assert exchange.pull(pointer, tmp_path / "other", remote).files == 0
    assert exchange.push(snapshot, pointers, remote).files == 0
    assert exchange.push(snapshot, pointers, remote, force=True).files == 3


WRONG: dict[str, list[Bad]] = {
    "s3": [
        ({"aws_secret_access_key": "wrong-horse"}, "AWS_SECRET_ACCESS_KEY"),
        ({"aws_access_key_id": "AKIANOBODY"}, "AWS_ACCESS_KEY_ID"),
        ({"dvc_url": "s3://nobody/crimes"}, "no such bucket"),
        ({"dvc_endpoint": "http://127.0.0.1:1"}, "cannot be reached"),
    ],
    "dav": [
        ({"dvc_password": "wrong-horse"}, "CRIMEGUARD_DVC_PASSWORD"),
        ({"dvc_user": "", "dvc_password": ""}, "CRIMEGUARD_DVC_USER"),
        ({"dvc_method": "POST"}, "CRIMEGUARD_DVC_METHOD"),
    ],
    "http": [
        ({"dvc_password": "wrong-horse"}, "CRIMEGUARD_DVC_PASSWORD"),
        ({"dvc_url": "http://127.0.0.1:1/x"}, "cannot be reached"),
        ({"dvc_url": "http://nowhere.invalid/x"}, "cannot be reached"),
    ],
}


@pytest.mark.parametrize(
    ("settings", "wrong", "said"),
    [(kind, wrong, said) for kind, cases in WRONG.items() for wrong, said in cases],
    indirect=["settings"],
)
def test_what_is_wrong_is_said_without_the_password_and_nothing_is_lost(
    settings: Settings,
    opened: Opens,
    wrong: dict[str, Any],
    said: str,
    snapshot: Snapshot,
    tmp_path: Path,
) -> None:
    pointers, before = tmp_path / "pointers", contents(snapshot.path)
    remote = opened(replace(settings, **wrong))
    with pytest.raises(RemoteError) as refused:
        exchange.push(snapshot, pointers, remote)
    told = str(refused.value)
    assert said in told
    assert refused.value.fix
    for secret in ("wrong-horse", settings.dvc_password, settings.aws_secret_access_key):
        assert not secret or secret not in told
    assert not list(pointers.rglob("*"))
    assert contents(snapshot.path) == before
    # What was refused has done no harm: the right words still work.
    pointer = exchange.push(snapshot, pointers, opened(settings)).pointer
    if "dvc_method" in wrong:  # reads all the same
        return
    with pytest.raises(RemoteError, match="could not be"):
        exchange.pull(pointer, tmp_path / "other", remote)
    assert not (tmp_path / "other" / "snapshots").exists()


@pytest.mark.parametrize("settings", ["s3", "dav", "folder"], indirect=True)
def test_what_was_never_pushed_is_not_there(
    settings: Settings, opened: Opens, snapshot: Snapshot, tmp_path: Path
) -> None:
    md5s = {name: md5_of(snapshot.path / name) for name in contents(snapshot.path)}
    pointer = pointer_to(snapshot, md5s)
    with pytest.raises(RemoteError, match="does not hold what was asked for") as refused:
        exchange.pull(pointer, tmp_path / "other", opened(settings))
    assert "crimeguard data push" in refused.value.fix


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # DVC's use of aiohttp and pygtrie
@pytest.mark.parametrize("settings", ["dav", "folder"], indirect=True)
def test_dvc_itself_pulls_by_the_pointer(
    settings: Settings, opened: Opens, snapshot: Snapshot, tmp_path: Path
) -> None:
    from dvc.repo import Repo

    workspace = tmp_path / "workspace"
    pushed = exchange.push(snapshot, workspace / "data" / "snapshots", opened(settings))
    remote: dict[str, Any] = {"url": settings.dvc_url}
    if settings.dvc_user:
        remote |= {"auth": "basic", "user": settings.dvc_user, "password": settings.dvc_password}
    (workspace / ".dvc").mkdir()
    config = {"core": {"no_scm": True, "remote": "team", "analytics": False},
              "remote": {"team": remote}}  # fmt: skip
    repo = Repo(str(workspace), config=config)
    try:
        repo.pull(targets=[str(pushed.path)])
    finally:
        repo.close()
    found = workspace / "data" / "snapshots" / snapshot.id
    assert contents(found) == contents(snapshot.path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("settings", ["folder"], indirect=True)
def test_what_dvc_pushed_by_itself_is_known(
    settings: Settings, opened: Opens, snapshot: Snapshot, tmp_path: Path
) -> None:
    """Our listing and DVC's have the same name, or `dvc push` would store everything twice."""
    from dvc.repo import Repo

    workspace = tmp_path / "workspace"
    shutil.copytree(snapshot.path, workspace / "data" / snapshot.id)
    repo = Repo.init(str(workspace), no_scm=True)
    try:
        (stage,) = repo.add(str(workspace / "data" / snapshot.id))
        oid = stage.outs[0].hash_info.value
    finally:
        repo.close()
    ours = exchange.push(snapshot, tmp_path / "pointers", opened(settings)).pointer
    assert ours.oid == oid
    assert ours.size == stage.outs[0].meta.size
    assert ours.files == stage.outs[0].meta.nfiles


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "CRIMEGUARD_DVC_URL is not set"),
        ({"dvc_url": "https://me:hush@host/x"}, "CRIMEGUARD_DVC_PASSWORD"),
        ({"dvc_url": "https://host/x", "dvc_user": "me"}, "only one is set"),
        ({"dvc_url": "https://host/x", "dvc_method": "PATCH"}, "CRIMEGUARD_DVC_METHOD"),
        ({"dvc_url": "s3://bucket/x", "aws_access_key_id": "AKIA"}, "only one is set"),
        ({"dvc_url": "gs://bucket/x"}, "cannot be a remote"),
        ({"dvc_url": "nonsense://bucket/x"}, "cannot be a remote"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        open_remote(Settings(**given))  # type: ignore[arg-type]
    assert "hush" not in str(refused.value)
    assert refused.value.fix


def test_without_dvc_it_is_said_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dvc.data_cloud", None)
    with pytest.raises(RemoteError, match="cannot be moved here") as refused:
        open_remote(Settings(dvc_url=str(tmp_path)))
    assert "trainer" in refused.value.fix


def test_a_folder_that_is_not_mounted_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="There is no folder"):
        open_remote(Settings(dvc_url=str(tmp_path / "mount")))
    assert not (tmp_path / "mount").exists()


@pytest.mark.parametrize("settings", ["http"], indirect=True)
def test_no_credential_comes_into_a_file(
    settings: Settings,
    opened: Opens,
    snapshot: Snapshot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    remote = opened(settings)
    pointer = exchange.push(snapshot, tmp_path / "pointers", remote).pointer
    exchange.pull(pointer, tmp_path / "other", remote)
    assert PASSWORD not in repr(remote) + remote.shown + repr(settings)
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes(), path
    assert not any(PASSWORD in value for value in os.environ.values())
