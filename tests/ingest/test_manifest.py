import json
from pathlib import Path
from typing import Any

import pytest

from crimeguard.domain.errors import DataError
from crimeguard.ingest.digest import file_sha256
from crimeguard.ingest.manifest import content_of, read_manifest, verify_partition

PARTS = [{"month": "2023-01", "rows": 2, "content_sha256": "ab", "bytes": 9, "sha256": "cd"}]


def test_the_content_does_not_depend_on_how_it_is_stored() -> None:
    other = [{**PARTS[0], "bytes": 10, "sha256": "ef"}]
    assert content_of(["dr_no"], PARTS) == content_of(["dr_no"], other)
    assert len(content_of(["dr_no"], PARTS)) == 64


@pytest.mark.parametrize("change", [{"month": "2023-02"}, {"rows": 3}, {"content_sha256": "ac"}])
def test_the_content_depends_on_every_partition(change: dict[str, Any]) -> None:
    assert content_of(["dr_no"], [{**PARTS[0], **change}]) != content_of(["dr_no"], PARTS)
    assert content_of(["dr_no", "area"], PARTS) != content_of(["dr_no"], PARTS)


def test_a_manifest_must_hold_what_every_one_holds(tmp_path: Path) -> None:
    whole = {"schema_version": 1, "id": "x", "content_sha256": "x", "rows": 1, "columns": [],
             "partitions": []}  # fmt: skip
    (tmp_path / "manifest.json").write_text(json.dumps(whole))
    assert read_manifest(tmp_path) == whole
    for name in whole:
        part = {key: value for key, value in whole.items() if key != name}
        (tmp_path / "manifest.json").write_text(json.dumps(part))
        with pytest.raises(DataError, match="lacks entries"):
            read_manifest(tmp_path)


def test_a_partition_is_held_against_its_entry(tmp_path: Path) -> None:
    file = tmp_path / "2023-01.parquet"
    file.write_bytes(b"incidents")
    entry = {"bytes": 9, "sha256": file_sha256(file)}
    verify_partition(file, entry)
    with pytest.raises(DataError, match=r"It has 9 bytes, not 10\."):
        verify_partition(file, {**entry, "bytes": 10})
    with pytest.raises(DataError, match="Its sha256 is not"):
        verify_partition(file, {**entry, "sha256": "cd"})
    with pytest.raises(DataError, match="It is missing"):
        verify_partition(tmp_path / "2023-02.parquet", entry)
