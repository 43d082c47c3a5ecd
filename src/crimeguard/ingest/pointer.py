"""Pointers: small files in git that say which snapshots a remote holds, in DVC's form."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from crimeguard.domain.errors import DataError
from crimeguard.ingest.manifest import MANIFEST
from crimeguard.ingest.snapshot import Snapshot
from crimeguard.ingest.writer import write_text

SUFFIX: Final = ".dvc"
_ID: Final = re.compile(r"[0-9a-f]{16}")
_MD5: Final = re.compile(r"[0-9a-f]{32}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
# A snapshot holds no other names; a listing from elsewhere must not lead out of its folder.
_NAME: Final = re.compile(r"manifest\.json|\d{4}-\d{2}\.parquet")


@dataclass(frozen=True, slots=True)
class Pointer:
    """What is known of a snapshot that lies in a remote.

    `md5` is that of its listing, `content_sha256` that of its rows, `size` is in bytes. A
    pointer that `dvc add` wrote says nothing of the rows but the snapshot's id, which is
    the beginning of their sha256; `content_sha256` is empty then.
    """

    snapshot: str
    md5: str
    size: int
    files: int
    content_sha256: str
    description: str

    def says(self, content_sha256: str) -> bool:
        """Tell whether rows of this digest are those that the pointer speaks of."""
        return content_sha256.startswith(self.content_sha256 or self.snapshot)

    @property
    def oid(self) -> str:
        """The name of the listing in the remote."""
        return f"{self.md5}.dir"

    def write(self, folder: Path) -> Path:
        """Write the pointer into a folder, and return its file."""
        import yaml

        document = {
            "desc": self.description,
            **({"meta": {"content_sha256": self.content_sha256}} if self.content_sha256 else {}),
            "outs": [{"md5": self.oid, "size": self.size, "nfiles": self.files, "hash": "md5",
                      "path": self.snapshot}],
        }  # fmt: skip
        file = folder / f"{self.snapshot}{SUFFIX}"
        write_text(file, yaml.safe_dump(document, sort_keys=False, width=200))
        return file

    @classmethod
    def read(cls, file: Path) -> Pointer:
        """Read a pointer that `data push` or `dvc add` wrote; DataError if it is none."""
        import yaml

        try:
            document = yaml.safe_load(file.read_text(encoding="utf-8"))
            (out,) = document["outs"]
            pointer = cls(
                snapshot=str(out["path"]),
                md5=str(out["md5"]).removesuffix(".dir"),
                size=int(out["size"]),
                files=int(out["nfiles"]),
                content_sha256=_rows_digest(document),
                description=str(document.get("desc", "")),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
            raise _foreign(file, f"{type(error).__name__}.") from None
        if not (_ID.fullmatch(pointer.snapshot) and _MD5.fullmatch(pointer.md5)
                and _SHA256.fullmatch(pointer.content_sha256 or "0" * 64)):  # fmt: skip
            raise _foreign(file, "Its digests are none.")
        if file.name != f"{pointer.snapshot}{SUFFIX}":
            raise _foreign(file, f"It speaks of {pointer.snapshot}.")
        return pointer


def _rows_digest(document: dict[str, Any]) -> str:
    return str(document["meta"]["content_sha256"]) if "meta" in document else ""


def pointer_to(snapshot: Snapshot, md5s: Mapping[str, str]) -> Pointer:
    """Return the pointer to a snapshot whose files have these md5s."""
    manifest = snapshot.manifest
    return Pointer(
        snapshot=snapshot.id,
        md5=hashlib.md5(listing(md5s), usedforsecurity=False).hexdigest(),
        size=sum((snapshot.path / name).stat().st_size for name in md5s),
        files=len(md5s),
        content_sha256=str(manifest["content_sha256"]),
        description=f"{snapshot.rows:,} incidents, {manifest.get('first_date_occ')} to "
        f"{manifest.get('last_date_occ')} ({manifest.get('source')})",
    )


def files_of(snapshot: Snapshot) -> tuple[str, ...]:
    """Return the names of a snapshot's files; what else lies in its folder does not count."""
    return (MANIFEST, *(f"{part['month']}.parquet" for part in snapshot.manifest["partitions"]))


def listing(md5s: Mapping[str, str]) -> bytes:
    """Return the listing of a folder byte for byte as DVC writes it."""
    entries = [{"md5": md5s[name], "relpath": name} for name in sorted(md5s)]
    return json.dumps(entries, sort_keys=True).encode()


def read_listing(text: bytes) -> dict[str, str]:
    """Return the md5 of each file that a listing names; ValueError if it is no snapshot's."""
    entries: Any = json.loads(text)
    if not isinstance(entries, list):
        raise ValueError("no listing")  # noqa: TRY004 -- of any kind that is not one
    found = {}
    for entry in entries:
        name, md5 = str(entry["relpath"]), str(entry["md5"])
        if not _NAME.fullmatch(name) or not _MD5.fullmatch(md5):
            raise ValueError(f"no file of a snapshot: {name!r}")
        found[name] = md5
    return found


def pointers(folder: Path, chosen: Sequence[str] = ()) -> list[Pointer]:
    """Read the pointers in a folder, or those of the chosen snapshots.

    A snapshot may be named by the beginning of its id. DataError if there is none.
    """
    files = sorted(file for file in folder.glob(f"*{SUFFIX}") if _ID.fullmatch(file.stem))
    if not files:
        raise DataError(
            f"There is nothing to pull: {folder} holds no pointer to a snapshot.",
            why="`crimeguard data push` writes one, and git carries it.",
            fix="Get the newest commit, or name the folder with --pointers.",
        )
    return [Pointer.read(file) for file in select(files, chosen, folder)]


def select(files: Sequence[Path], chosen: Sequence[str], folder: Path) -> list[Path]:
    """Return the files or folders whose names begin as chosen; all if nothing is chosen."""
    if not chosen:
        return list(files)
    found = []
    for wanted in chosen:
        matching = [file for file in files if wanted and file.name.startswith(wanted)]
        if len(matching) != 1:
            raise DataError(f"{folder} has {len(matching)} snapshots that begin with {wanted!r}.",
                            why=f"There are: {', '.join(file.stem for file in files[:10])}.",
                            fix="Name one of them.")  # fmt: skip
        found += matching
    return found


def _foreign(file: Path, why: str) -> DataError:
    return DataError(f"{file} is no pointer to a snapshot.", why=why,
                     fix="Take it from git again; `crimeguard data push` and `dvc add` "
                     "write them.")  # fmt: skip
