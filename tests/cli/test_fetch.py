from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from crimeguard.registry.bundle import MANIFEST, Bundle
from crimeguard.settings import Settings
from tests.cli.world import crimeguard, refused


def test_the_bundle_in_production_becomes_a_folder(
    home: Callable[[], Settings], tiny_bundle: Path, tmp_path: Path
) -> None:
    home()
    out = tmp_path / "deep" / "bundle"
    told = crimeguard("fetch", "--out", str(out), "--json")
    assert told.code == 0, told.err
    original = Bundle.load(tiny_bundle)
    assert json.loads(told.out) == {
        "bundle": str(out), "sha256": original.sha256, "bytes": original.size,
    }  # fmt: skip
    assert Bundle.load(out).sha256 == original.sha256
    assert {file.stat().st_mode & 0o777 for file in out.iterdir()} == {0o644}
    assert [entry.name for entry in out.parent.iterdir()] == ["bundle"]


def test_an_older_bundle_is_replaced(
    three_versions: Path, use_home: Callable[[Path], Settings], tmp_path: Path
) -> None:
    use_home(three_versions)
    out = tmp_path / "bundle"
    shas = []
    for version in ("1", "2"):
        told = crimeguard("fetch", "--out", str(out), "--version", version)
        assert told.code == 0, told.err
        shas.append(Bundle.load(out).sha256)
    assert shas[0] != shas[1]


def test_what_is_no_bundle_is_left_alone(home: Callable[[], Settings], tmp_path: Path) -> None:
    home()
    out = tmp_path / "precious"
    out.mkdir()
    (out / "thesis.txt").write_text("five years")
    refused(crimeguard("fetch", "--out", str(out)), 2, "is no bundle", "--out")
    assert (out / "thesis.txt").read_text() == "five years"


@pytest.mark.parametrize("version", [None, "9"])
def test_without_such_a_model_nothing_is_written(
    empty_home: Path, use_home: Callable[[Path], Settings], tmp_path: Path, version: str | None
) -> None:
    use_home(empty_home)
    out = tmp_path / "bundle"
    options = [] if version is None else ["--version", version]
    refused(crimeguard("fetch", "--out", str(out), *options), 1, "crimeguard train")
    assert not out.exists()


def test_an_old_bundle_stays_if_the_new_one_cannot_be_had(
    home: Callable[[], Settings], tiny_bundle: Path, tmp_path: Path
) -> None:
    home()
    out = tmp_path / "bundle"
    assert crimeguard("fetch", "--out", str(out)).code == 0
    before = (out / MANIFEST).read_bytes()
    assert crimeguard("fetch", "--out", str(out), "--version", "9").code == 1
    assert (out / MANIFEST).read_bytes() == before
