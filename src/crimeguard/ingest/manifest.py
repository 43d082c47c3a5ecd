"""A snapshot's manifest: what it must hold, and how the files are held against it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from crimeguard.domain.errors import DataError
from crimeguard.domain.field import BY_NAME
from crimeguard.ingest.digest import file_sha256

SCHEMA_VERSION: Final = 1
MANIFEST: Final = "manifest.json"
_KEYS: Final = frozenset(
    {"schema_version", "id", "content_sha256", "rows", "columns", "partitions"}
)


def content_of(columns: Sequence[str], partitions: Sequence[dict[str, Any]]) -> str:
    """Return the sha256 that a snapshot is named by; of its content, and of nothing else."""
    described = {
        "schema_version": SCHEMA_VERSION,
        "columns": [[name, BY_NAME[name].kind] for name in columns],
        "partitions": [
            [part["month"], part["rows"], part["content_sha256"]] for part in partitions
        ],
    }
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest in a folder; DataError if there is none, or a damaged one."""
    file = path / MANIFEST
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} is not a snapshot.", why=f"It holds no {MANIFEST}.",
                        fix="Name a folder of CRIMEGUARD_HOME/snapshots.") from None  # fmt: skip
    except (OSError, ValueError) as error:
        raise damaged(file, f"{error}.") from None
    if not isinstance(manifest, dict) or not manifest.keys() >= _KEYS:
        raise damaged(file, "It lacks entries that every snapshot has.")
    if manifest["schema_version"] != SCHEMA_VERSION:
        raise DataError(
            f"{path} is a snapshot of schema {manifest['schema_version']}.",
            why=f"This CrimeGuard reads schema {SCHEMA_VERSION}.",
            fix="Make it anew from its source.",
        )  # fmt: skip
    return manifest


def verify_partition(file: Path, part: dict[str, Any]) -> None:
    """Hold a partition against its entry; DataError says how it differs."""
    if not file.is_file():
        raise damaged(file, "It is missing.")
    size = file.stat().st_size
    if size != part["bytes"]:
        raise damaged(file, f"It has {size:,} bytes, not {part['bytes']:,}.")
    if file_sha256(file) != part["sha256"]:
        raise damaged(file, "Its sha256 is not that of the manifest.")


def damaged(file: Path, why: str) -> DataError:
    """Return the error that names the file which is not as written."""
    return DataError(f"The snapshot is damaged: {file}.", why=why,
                     fix="Remove its folder and make it anew from its source.")  # fmt: skip
