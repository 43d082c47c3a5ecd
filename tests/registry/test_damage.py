"""Damage to a bundle of every kind that we can think of: it is a BundleError, and nothing else."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from crimeguard.domain.errors import BundleError
from crimeguard.pipeline import Trained
from crimeguard.registry.bundle import FILES, FORMAT, MANIFEST, MAX_BYTES, Bundle
from tests.registry.test_bundle import edit_manifest, refuse, replace_file


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    shutil.copytree(tiny_bundle, folder)
    return folder


def damaged(content: bytes, seed: int) -> bytes:
    """Return other bytes: all at random, some of them, fewer, none, or more."""
    chance = random.Random(seed)
    kinds: tuple[Callable[[], bytes], ...] = (
        lambda: chance.randbytes(len(content)),
        lambda: _spotted(content, chance),
        lambda: content[: chance.randrange(len(content))],
        lambda: b"",
        lambda: content + chance.randbytes(chance.randrange(1, 50)),
    )
    found = kinds[seed % len(kinds)]()
    assert found != content
    return found


def _spotted(content: bytes, chance: random.Random) -> bytes:
    spotted = bytearray(content)
    for _ in range(9):
        spotted[chance.randrange(len(spotted))] ^= 1 << chance.randrange(8)
    return bytes(spotted) if bytes(spotted) != content else b"x" + content


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("file", [MANIFEST, *FILES])
def test_random_damage_to_any_file_is_refused(copy: Path, file: str, seed: int) -> None:
    (copy / file).write_bytes(damaged((copy / file).read_bytes(), seed))
    with pytest.raises(BundleError):
        Bundle.load(copy)


@pytest.mark.parametrize("seed", range(30))
def test_a_manifest_with_other_values_anywhere_is_refused(copy: Path, seed: int) -> None:
    chance = random.Random(seed)
    manifest = json.loads((copy / MANIFEST).read_text())
    odd: object = chance.choice(
        [None, -1, 0, 10**30, 1.5, True, "", "x", [], {}, [[]], "9" * 5000, float("inf"),
         float("nan"), "\ud800", {"bytes": -5, "sha256": "x"}]
    )  # fmt: skip
    spot = chance.choice(["format", "name", "features_version", "categories", "files"])
    if spot == "files":
        file = chance.choice(FILES)
        manifest["files"][file] = chance.choice(
            [odd, {"bytes": odd, "sha256": "0" * 64}, {**manifest["files"][file], "sha256": odd}]
        )
    else:
        manifest[spot] = odd
    (copy / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError):
        Bundle.load(copy)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 100_000, '{"files": 1e999}', "1" * 9999])
def test_a_manifest_made_to_break_its_reader_is_refused(copy: Path, text: str) -> None:
    (copy / MANIFEST).write_text(text)
    refuse(copy, "is no manifest")


def test_a_huge_manifest_is_not_read_to_its_end(copy: Path) -> None:
    text = (copy / MANIFEST).read_text()
    with (copy / MANIFEST).open("w") as file:
        file.write(text)
        file.seek(3_000_000_000)  # a hole: no disk is needed
        file.write(" ")
    refuse(copy, "is no manifest")


def test_sizes_that_cancel_each_other_out_are_refused(copy: Path) -> None:
    def change(manifest: dict[str, dict[str, dict[str, int]]]) -> None:
        manifest["files"]["pool.json"]["bytes"] = 10**15
        manifest["files"]["card.json"]["bytes"] = -(10**15)

    edit_manifest(copy, change)
    refuse(copy, "larger than")


def test_a_manifest_that_states_too_much_is_refused_unread(copy: Path) -> None:
    edit_manifest(copy, lambda m: m["files"]["pool.json"].update({"bytes": MAX_BYTES}))
    refuse(copy, "larger than")


@pytest.mark.parametrize("version", [FORMAT - 1, FORMAT + 1, 0])
def test_a_bundle_of_another_format_is_refused(copy: Path, version: int) -> None:
    edit_manifest(copy, lambda m: m.update({"format": version}))
    refuse(copy, "not for this version")


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir])
@pytest.mark.parametrize("name", ["extra.bin", ".hidden", "model.pkl"])
def test_a_file_too_many_is_refused(copy: Path, name: str, make: Callable[[Path], None]) -> None:
    make(copy / name)
    refuse(copy, "holds more than a bundle")


@pytest.mark.parametrize("file", [MANIFEST, *FILES])
def test_a_link_is_not_followed_though_it_leads_to_the_right_bytes(
    copy: Path, tmp_path: Path, file: str
) -> None:
    (copy / file).rename(tmp_path / "elsewhere")
    (copy / file).symlink_to(tmp_path / "elsewhere")
    refuse(copy, "It is a link")


@pytest.mark.parametrize("file", [MANIFEST, "pool.json"])
def test_a_pipe_is_not_waited_for(copy: Path, file: str) -> None:
    (copy / file).unlink()
    os.mkfifo(copy / file)
    refuse(copy, "no plain file")


@pytest.mark.parametrize("file", ["../copy/pool.json", "./pool.json", "a/b", "pool.json\0"])
def test_a_name_that_leads_elsewhere_is_refused(copy: Path, file: str) -> None:
    def change(manifest: dict[str, dict[str, object]]) -> None:
        manifest["files"][file] = manifest["files"].pop("pool.json")

    edit_manifest(copy, change)
    refuse(copy, "lists other files")


def test_a_folder_that_is_a_link_may_be_read(copy: Path, tmp_path: Path, trained: Trained) -> None:
    (tmp_path / "current").symlink_to(copy)
    assert Bundle.load(tmp_path / "current").sha256 == trained.bundle.sha256


@pytest.mark.parametrize("file", ["card.json", "golden.json"])
@pytest.mark.parametrize("content", [b"[]", b"3", b'"x"', b"null", b"\xff", b"[" * 50_000])
def test_a_table_that_is_none_is_refused(copy: Path, file: str, content: bytes) -> None:
    replace_file(copy, file, content)
    refuse(copy, "holds no table|cannot be read")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("file", FILES)
def test_damage_that_the_manifest_agrees_with_is_refused_or_read(
    copy: Path, file: str, seed: int
) -> None:
    replace_file(copy, file, damaged((copy / file).read_bytes(), seed))
    try:
        Bundle.load(copy)
    except BundleError as error:
        assert error.what  # noqa: PT017 -- any other error fails the test by itself
