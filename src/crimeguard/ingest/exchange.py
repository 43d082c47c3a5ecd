"""Snapshots to and from a remote: verified before they leave and before they are used."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from crimeguard.domain.errors import CrimeGuardError, DataError, RemoteError
from crimeguard.ingest.pointer import (
    Pointer,
    files_of,
    listing,
    pointer_to,
    read_listing,
    select,
)
from crimeguard.ingest.remote import DamagedError, Remote, md5_of
from crimeguard.ingest.snapshot import Snapshot

_JOBS: Final = 4
# What an interrupted pull has fetched already.
_INCOMING: Final = "incoming"
# Of a snapshot: its id, how many of its files are done, and of how many.
Progress = Callable[[str, int, int], None]


def silent(name: str, done: int, total: int) -> None:
    """Show no progress."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A snapshot that is where it was to go; `files` of its files had to be moved for that."""

    pointer: Pointer
    path: Path
    files: int


def snapshots_in(home: Path, chosen: Sequence[str] = ()) -> list[Snapshot]:
    """Open and verify the snapshots of a home, or those whose ids begin as chosen."""
    folder = home / "snapshots"
    found = sorted(manifest.parent for manifest in folder.glob("[!.]*/manifest.json"))
    if not found:
        raise DataError(
            f"There is no snapshot in {folder}.",
            fix="Make one with `crimeguard prepare` or `crimeguard train`.",
        )
    return [Snapshot.load(path) for path in select(found, chosen, folder)]


def push(
    snapshot: Snapshot, pointers: Path, remote: Remote, *,
    force: bool = False, on_progress: Progress = silent,
) -> Moved:  # fmt: skip
    """Store a snapshot in a remote, and write its pointer once all of it is there.

    What the remote has is not sent again, unless by `force`. A pointer to the same rows in
    other files stays if the remote holds those.
    """
    md5s = {name: md5_of(snapshot.path / name) for name in files_of(snapshot)}
    pointer = pointer_to(snapshot, md5s)
    file = pointers / f"{snapshot.id}.dvc"
    if not force:
        known = Pointer.read(file) if file.exists() else pointer
        # A listing is stored last: where it is, everything is.
        if remote.size_of(known.oid) is not None:
            return Moved(known, file if file.exists() else known.write(pointers), 0)

    def send(name: str) -> bool:
        source = snapshot.path / name
        if not force and remote.size_of(md5s[name]) == source.stat().st_size:
            return False
        remote.put(md5s[name], source)
        return True

    sent = _each(list(md5s), send, snapshot.id, on_progress)
    with tempfile.TemporaryDirectory() as work:
        written = Path(work) / "listing"
        written.write_bytes(listing(md5s))
        remote.put(pointer.oid, written)
    return Moved(pointer, pointer.write(pointers), sent)


def pull(pointer: Pointer, home: Path, remote: Remote, *, on_progress: Progress = silent) -> Moved:
    """Fetch the snapshot that a pointer names into a home, unless it is there and whole.

    What was fetched before an interruption is not fetched again. Nothing is visible under
    the snapshot's name before all of it is there and verified.
    """
    target = home / "snapshots" / pointer.snapshot
    if _whole(target, pointer):
        return Moved(pointer, target, 0)
    incoming = home / _INCOMING / pointer.md5
    try:
        md5s = _listing(pointer, incoming, remote)
        fetched = _fetch(pointer, md5s, incoming, remote, on_progress)
        _assemble(pointer, md5s, incoming, target)
    except OSError as error:
        raise CrimeGuardError(f"The snapshot {target} cannot be written.",
                              why=f"{error.strerror}.",
                              fix="Free space, or set CRIMEGUARD_HOME to a folder that you may "
                              "write to.") from error  # fmt: skip
    shutil.rmtree(incoming, ignore_errors=True)
    return Moved(pointer, target, fetched)


def _whole(path: Path, pointer: Pointer) -> bool:
    if not path.exists():
        return False
    try:
        return pointer.says(str(Snapshot.load(path).manifest["content_sha256"]))
    except DataError:
        return False


def _listing(pointer: Pointer, incoming: Path, remote: Remote) -> dict[str, str]:
    file = incoming / "listing"
    if not (file.is_file() and md5_of(file) == pointer.md5):
        _from(remote, pointer, pointer.oid, file)
    try:
        return read_listing(file.read_bytes())
    except (ValueError, KeyError, TypeError) as error:
        raise RemoteError(
            f"What {remote.shown} holds as {pointer.snapshot} is no snapshot.",
            why=f"{type(error).__name__}: {error}.",
            fix=f"Check where {pointer.snapshot}.dvc comes from.",
        ) from None


def _fetch(
    pointer: Pointer, md5s: Mapping[str, str], incoming: Path, remote: Remote, progress: Progress
) -> int:
    def fetch(name: str) -> bool:
        file = incoming / name
        if file.is_file() and md5_of(file) == md5s[name]:
            return False
        _from(remote, pointer, md5s[name], file)
        return True

    return _each(list(md5s), fetch, pointer.snapshot, progress)


def _from(remote: Remote, pointer: Pointer, oid: str, file: Path) -> None:
    try:
        remote.get(oid, file)
    except DamagedError as error:
        again = f"`crimeguard data push --force {pointer.snapshot}`"
        raise RemoteError(
            error.what, why=error.why, fix=f"Push it again from where it is whole: {again}."
        ) from None


def _assemble(pointer: Pointer, md5s: Mapping[str, str], incoming: Path, target: Path) -> None:
    """Put a snapshot together beside its place, verify it, and move it there at once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        folder = work / target.name
        folder.mkdir()
        for name in md5s:
            shutil.copyfile(incoming / name, folder / name)
            with (folder / name).open("rb") as written:
                os.fsync(written.fileno())
        found = str(Snapshot.load(folder).manifest["content_sha256"])
        if not pointer.says(found):
            raise DataError(f"The snapshot {pointer.snapshot} is not the one that was pushed.",
                            why=f"Its rows have the digest {found[:16]}..., the pointer says "
                            f"{pointer.content_sha256[:16]}...",
                            fix="Check where the pointer comes from.")  # fmt: skip
        if target.exists():  # damaged, else nothing would have been fetched
            target.rename(work / "damaged")
        folder.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _each(items: Sequence[str], do: Callable[[str], bool], name: str, on_progress: Progress) -> int:
    """Do something with each item, some at a time; return how often it was done.

    The first error ends it, once what has begun is finished.
    """
    on_progress(name, 0, len(items))
    with ThreadPoolExecutor(_JOBS) as pool:
        futures = [pool.submit(do, item) for item in items]
        moved = 0
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                moved += future.result()
                on_progress(name, done, len(items))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return moved
