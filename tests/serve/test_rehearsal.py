from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from crimeguard.domain.errors import BundleError
from crimeguard.registry.bundle import verify
from crimeguard.serve import rehearsal as module
from crimeguard.serve import server
from crimeguard.serve.rehearsal import Rehearsal, rehearse
from tests.registry.test_bundle import replace_file


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    shutil.copytree(tiny_bundle, folder)
    return folder


def cut(folder: Path) -> None:
    """Cut LightGBM's text in the middle of a tree, and make the manifest anew over it."""
    content = (folder / "lightgbm.txt").read_bytes()
    replace_file(folder, "lightgbm.txt", content[: content.index(b"leaf_value") + 3])


def test_a_good_bundle_is_survived(tiny_bundle: Path) -> None:
    assert rehearse(tiny_bundle) == verify(tiny_bundle)[1]


def test_a_bundle_that_cannot_be_read_is_refused_by_the_child(copy: Path, tmp_path: Path) -> None:
    cut(copy)
    with pytest.raises(BundleError, match="cannot be read") as caught:
        server.load(copy, rehearsal=Rehearsal(tmp_path / "notes"))
    assert "ValueError" in caught.value.why
    assert not (tmp_path / "notes").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")
def test_a_reader_that_dies_is_a_child_only(copy: Path, tmp_path: Path) -> None:
    """The kill stands in for a file that native code does not survive: none is known now."""
    killed: list[int] = []

    def kill() -> None:
        end = time.monotonic() + 60
        while not killed and time.monotonic() < end:
            for pid in _readers_of(copy):
                os.kill(pid, signal.SIGSEGV)
                killed.append(pid)

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(BundleError, match="ends the process that reads it") as caught:
        server.load(copy, rehearsal=Rehearsal(tmp_path / "notes"))
    thread.join()
    assert "SIGSEGV" in caught.value.why
    assert killed
    assert not (tmp_path / "notes").exists()


def _readers_of(folder: Path) -> list[int]:
    """Return the children of this process that have been told to read a folder."""
    found = []
    for listed in Path("/proc/self/task").glob("*/children"):
        for pid in listed.read_text().split():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if str(folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(int(pid))
    return found


def test_what_the_child_finds_wrong_is_said(copy: Path) -> None:
    replace_file(copy, "golden.json", b"{}")
    with pytest.raises(BundleError, match="golden rows are none"):
        rehearse(copy)


def test_a_bundle_that_keeps_its_reader_busy_is_given_up(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.01)
    with pytest.raises(BundleError, match=r"not ready after 0\.01 seconds"):
        rehearse(copy)


def test_it_happens_once_for_a_bundle(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Path] = []
    sha256 = verify(tiny_bundle)[1]

    def survived(folder: Path) -> str:
        tried.append(folder)
        return sha256

    monkeypatch.setattr(module, "rehearse", survived)
    for _ in range(2):
        Rehearsal(tmp_path).require(tiny_bundle, sha256)
    assert tried == [tiny_bundle]
    with pytest.raises(BundleError, match="changed while it was read"):
        Rehearsal(tmp_path).require(tiny_bundle, "f" * 64)
    # Other readers may fare otherwise.
    monkeypatch.setattr(module, "version", lambda name: f"another {name}")
    Rehearsal(tmp_path).require(tiny_bundle, sha256)
    assert len(tried) == 3


def test_notes_do_not_grow_without_end(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(module._KEPT + 5):
        sha256 = f"{number:064}"
        monkeypatch.setattr(module, "rehearse", lambda _, sha256=sha256: sha256)
        Rehearsal(tmp_path).require(tiny_bundle, sha256)
    assert len(list(tmp_path.iterdir())) == module._KEPT


def test_without_a_place_for_notes_it_is_done_again(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Path] = []

    def survived(folder: Path) -> str:
        tried.append(folder)
        return "a" * 64

    (tmp_path / "notes").write_text("a file in its place")
    monkeypatch.setattr(module, "rehearse", survived)
    for _ in range(2):
        Rehearsal(tmp_path / "notes").require(tiny_bundle, "a" * 64)
    assert len(tried) == 2


@pytest.mark.slow
@pytest.mark.parametrize("file", ["lightgbm.txt", "xgboost.json"])
def test_random_damage_before_the_manifest_was_made_is_survived(
    tiny_bundle: Path, tmp_path: Path, file: str
) -> None:
    for seed in range(4):
        chance, folder = random.Random(seed), tmp_path / f"{seed}"
        shutil.copytree(tiny_bundle, folder)
        content = bytearray((folder / file).read_bytes())
        for _ in range(200):
            content[chance.randrange(len(content))] = chance.randrange(256)
        replace_file(folder, file, bytes(content))
        with pytest.raises(BundleError):
            rehearse(folder)
