import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from crimeguard.domain.errors import CrimeGuardError, DataError, RemoteError
from crimeguard.ingest import exchange
from crimeguard.ingest.pointer import Pointer
from crimeguard.ingest.remote import Remote, md5_of, open_remote
from crimeguard.ingest.snapshot import Snapshot
from crimeguard.settings import Settings
from tests.cli.world import contents
from tests.ingest.stores import PASSWORD, USER, StandIn, stand_in
from tests.ingest.test_snapshot import incidents, write


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as server:
        yield server


@pytest.fixture
def remote(server: StandIn) -> Iterator[Remote]:
    settings = Settings(dvc_url=server.url, dvc_user=USER, dvc_password=PASSWORD)
    with open_remote(settings) as remote:
        yield remote


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    return write(incidents(), tmp_path / "home")


@pytest.fixture
def pointer(snapshot: Snapshot, remote: Remote, tmp_path: Path) -> Pointer:
    return exchange.push(snapshot, tmp_path / "pointers", remote).pointer


def stored(server: StandIn, md5: str) -> str:
    """Return the path under which a file lies in the store."""
    return next(path for path in server.files if path.endswith(f"{md5[:2]}/{md5[2:]}"))


def test_an_interrupted_pull_leaves_nothing_half_and_goes_on(
    server: StandIn, remote: Remote, snapshot: Snapshot, pointer: Pointer, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    kept = write(incidents(40), other)  # what is used meanwhile
    before = contents(kept.path)
    server.gets, server.break_after = (
        0,
        3,
    )  # the listing and two files come through, one breaks off in the middle
    with pytest.raises(RemoteError, match="could not be read") as broken:
        exchange.pull(pointer, other, remote)
    assert PASSWORD not in str(broken.value)
    assert [path.name for path in (other / "snapshots").iterdir()] == [kept.id]
    assert contents(kept.path) == before
    # What came through is whole, and nothing half lies beside it.
    came = {path.name: md5_of(path) for path in (other / "incoming" / pointer.md5).iterdir()}
    assert came.pop("listing") == pointer.md5
    assert len(came) == 2
    assert (
        came.items()
        <= {name: md5_of(snapshot.path / name) for name in contents(snapshot.path)}.items()
    )
    server.break_after, asked = None, server.count("GET")
    pulled = exchange.pull(pointer, other, remote)
    assert (pulled.files, server.count("GET") - asked) == (2, 2)
    assert contents(pulled.path) == contents(snapshot.path)
    assert not list((other / "incoming").iterdir())


def test_an_interrupted_push_leaves_no_pointer_and_goes_on(
    server: StandIn, remote: Remote, snapshot: Snapshot, tmp_path: Path
) -> None:
    pushed = exchange.push(snapshot, tmp_path / "pointers", remote)
    # As if it had ended before the listing, and one file had been cut short.
    shutil.rmtree(tmp_path / "pointers")
    del server.files[stored(server, pushed.pointer.oid)]
    cut = stored(server, md5_of(snapshot.path / "2023-01.parquet"))
    server.files[cut] = server.files[cut][:-1]
    server.status = 503
    with pytest.raises(RemoteError, match="could not be"):
        exchange.push(snapshot, tmp_path / "pointers", remote)
    assert not (tmp_path / "pointers").exists()
    server.status, posts = None, server.count("POST")
    assert exchange.push(snapshot, tmp_path / "pointers", remote).files == 1
    assert server.count("POST") - posts == 2  # that file and the listing
    exchange.pull(pushed.pointer, tmp_path / "other", remote)


@pytest.mark.parametrize("name", ["manifest.json", "2023-01.parquet", "listing"])
def test_what_was_damaged_in_the_remote_is_not_used(
    name: str, server: StandIn, remote: Remote, snapshot: Snapshot, pointer: Pointer,
    tmp_path: Path,
) -> None:  # fmt: skip
    md5 = pointer.oid if name == "listing" else md5_of(snapshot.path / name)
    path = stored(server, md5)
    whole = server.files[path]
    server.files[path] = whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:]
    with pytest.raises(RemoteError, match="damaged") as refused:
        exchange.pull(pointer, tmp_path / "other", remote)
    assert f"crimeguard data push --force {snapshot.id}" in refused.value.fix
    assert not (tmp_path / "other" / "snapshots").exists()
    exchange.push(snapshot, tmp_path / "pointers", remote, force=True)
    assert contents(exchange.pull(pointer, tmp_path / "other", remote).path) == contents(
        snapshot.path
    )


def test_a_damaged_snapshot_here_is_not_pushed_and_is_replaced_by_a_pull(
    remote: Remote, snapshot: Snapshot, pointer: Pointer, tmp_path: Path
) -> None:
    before, file = contents(snapshot.path), snapshot.path / "2023-01.parquet"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match="damaged"):
        exchange.snapshots_in(tmp_path / "home")
    pulled = exchange.pull(pointer, tmp_path / "home", remote)
    assert pulled.path == snapshot.path
    assert contents(snapshot.path) == before
    assert [path.name for path in (tmp_path / "home" / "snapshots").iterdir()] == [snapshot.id]


def test_the_pointer_decides_what_is_accepted(
    remote: Remote, snapshot: Snapshot, pointer: Pointer, tmp_path: Path
) -> None:
    """The id has 64 bits only; another remote must not get its own rows in under it."""
    other = replace(pointer, content_sha256="0" * 64)
    with pytest.raises(DataError, match="not the one that was pushed"):
        exchange.pull(other, tmp_path / "other", remote)
    assert not list((tmp_path / "other" / "snapshots").iterdir())


@pytest.mark.parametrize(
    "entries",
    [
        [{"md5": "0" * 32, "relpath": "../../evil.json"}],
        [{"md5": "0" * 32, "relpath": "/etc/cron.d/x"}],
        [{"md5": "../../x", "relpath": "manifest.json"}],
        [{"relpath": "manifest.json"}],
        {"md5": "0" * 32},
        7,
    ],
)
def test_a_listing_does_not_lead_out_of_its_folder(
    entries: object, server: StandIn, remote: Remote, pointer: Pointer, tmp_path: Path
) -> None:
    import hashlib

    text = json.dumps(entries).encode()
    md5 = hashlib.md5(text).hexdigest()
    root = stored(server, pointer.oid).rpartition("/files/md5/")[0]
    server.files[f"{root}/files/md5/{md5[:2]}/{md5[2:]}.dir"] = text
    with pytest.raises(RemoteError, match="is no snapshot"):
        exchange.pull(replace(pointer, md5=md5), tmp_path / "other", remote)
    assert {path.name for path in (tmp_path / "other").rglob("*") if path.is_file()} == {"listing"}


def test_other_files_with_the_same_rows_leave_the_pointer_as_it_is(
    server: StandIn, remote: Remote, snapshot: Snapshot, pointer: Pointer, tmp_path: Path
) -> None:
    elsewhere = write(incidents(), tmp_path / "elsewhere")
    manifest = elsewhere.path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"a test"', '"another export"'))
    again = Snapshot.load(elsewhere.path)
    posts = server.count("POST")
    assert exchange.push(again, tmp_path / "pointers", remote).pointer == pointer
    assert server.count("POST") == posts
    # Where those files are lost, these take their place.
    server.files.clear()
    moved = exchange.push(again, tmp_path / "pointers", remote)
    assert moved.pointer != pointer
    assert Pointer.read(moved.path) == moved.pointer
    assert exchange.pull(moved.pointer, tmp_path / "third", remote).files == 4


def test_no_room_is_said(
    remote: Remote, pointer: Pointer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("crimeguard.ingest.exchange.shutil.copyfile", full)
    with pytest.raises(CrimeGuardError, match="No space left") as refused:
        exchange.pull(pointer, tmp_path / "other", remote)
    assert "CRIMEGUARD_HOME" in refused.value.fix
    assert not list((tmp_path / "other" / "snapshots").iterdir())


def test_progress_is_told_file_by_file(
    remote: Remote, snapshot: Snapshot, pointer: Pointer, tmp_path: Path
) -> None:
    told: list[tuple[str, int, int]] = []
    exchange.pull(pointer, tmp_path / "other", remote,
                  on_progress=lambda *step: told.append(step))  # fmt: skip
    assert told == [(snapshot.id, done, 4) for done in range(5)]


def test_there_must_be_a_snapshot(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no snapshot"):
        exchange.snapshots_in(tmp_path)
    kept = write(incidents(), tmp_path)
    assert [item.id for item in exchange.snapshots_in(tmp_path, [kept.id[:3]])] == [kept.id]
    for wanted in ("ffff", ""):
        with pytest.raises(DataError, match="has 0 snapshots"):
            exchange.snapshots_in(tmp_path, [wanted])
