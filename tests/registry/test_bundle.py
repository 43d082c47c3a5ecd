from __future__ import annotations

import json
import pickletools
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.errors import BundleError
from crimeguard.features.columns import Columns
from crimeguard.pipeline import Trained
from crimeguard.registry import bundle as module
from crimeguard.registry.bundle import FILES, MANIFEST, Bundle, verify, write_bundle
from crimeguard.registry.folder import read_plain


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    shutil.copytree(tiny_bundle, folder)
    return folder


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def replace_file(folder: Path, file: str, content: bytes) -> None:
    """Write another file and state it in the manifest, as somebody who means harm would."""
    (folder / file).write_bytes(content)
    entry = module._entry(folder / file)
    edit_manifest(folder, lambda manifest: manifest["files"].update({file: entry}))


def refuse(folder: Path, match: str) -> None:
    with pytest.raises(BundleError, match=match) as caught:
        Bundle.load(folder)
    assert "Traceback" not in str(caught.value)


def test_what_is_read_answers_as_what_was_written(
    trained: Trained, incidents: pl.DataFrame, tmp_path: Path
) -> None:
    old = trained.bundle
    written = write_bundle(
        old.model, tmp_path / "b", card=old.card, golden=old.golden, reference=old.reference
    )
    columns = Columns.from_frame(incidents.tail(300))
    expected = old.model.probabilities(columns)
    assert Bundle.load(written.path).model.probabilities(columns).tobytes() == expected.tobytes()
    assert written.card == old.card
    assert written.golden == old.golden


def test_a_version_is_its_content(trained: Trained, tmp_path: Path) -> None:
    old = trained.bundle
    same = write_bundle(
        old.model, tmp_path / "b", card=old.card, golden=old.golden, reference=old.reference
    )
    assert same.sha256 == old.sha256
    assert same.version == same.path.name == old.sha256[:12]
    again = write_bundle(
        old.model, tmp_path / "b", card=old.card, golden=old.golden, reference=old.reference
    )
    assert again.path == same.path
    other = write_bundle(
        old.model, tmp_path / "b", card={}, golden=old.golden, reference=old.reference
    )
    assert other.sha256 != old.sha256
    assert {path.name for path in (tmp_path / "b").iterdir()} == {same.version, other.version}


def test_a_bundle_that_was_damaged_can_be_written_again(trained: Trained, tmp_path: Path) -> None:
    old = trained.bundle
    first = write_bundle(
        old.model, tmp_path, card=old.card, golden=old.golden, reference=old.reference
    )
    (first.path / "pool.json").unlink()
    again = write_bundle(
        old.model, tmp_path, card=old.card, golden=old.golden, reference=old.reference
    )
    assert again.path == first.path
    assert Bundle.load(again.path).sha256 == old.sha256


def test_a_bundle_that_cannot_be_written_leaves_nothing(trained: Trained, tmp_path: Path) -> None:
    old = trained.bundle
    with pytest.raises(ValueError, match="JSON"):
        write_bundle(
            old.model,
            tmp_path,
            card={"x": float("nan")},
            golden=old.golden,
            reference=old.reference,
        )
    broken = replace(old.model, pool=replace(old.model.pool, weights=np.ones((3, 9))))
    with pytest.raises(BundleError, match="pool weights"):
        write_bundle(broken, tmp_path, card=old.card, golden=old.golden, reference=old.reference)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_one_flipped_bit_anywhere_is_refused(copy: Path, file: str, place: float) -> None:
    content = bytearray((copy / file).read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    (copy / file).write_bytes(content)
    refuse(copy, "not what the manifest says")


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("kept", [0, -1])
def test_a_file_cut_short_is_refused(copy: Path, file: str, kept: int) -> None:
    (copy / file).write_bytes((copy / file).read_bytes()[:kept])
    refuse(copy, "not what the manifest says")


@pytest.mark.parametrize("file", FILES)
def test_a_file_with_something_behind_it_is_refused(copy: Path, file: str) -> None:
    with (copy / file).open("ab") as end:
        end.write(b" ")
    refuse(copy, "not what the manifest says")


@pytest.mark.parametrize("file", [MANIFEST, *FILES])
def test_a_missing_file_is_refused(copy: Path, file: str) -> None:
    (copy / file).unlink()
    refuse(copy, "cannot be read")


@pytest.mark.parametrize("file", [MANIFEST, *FILES])
def test_a_folder_in_place_of_a_file_is_refused(copy: Path, file: str) -> None:
    (copy / file).unlink()
    (copy / file).mkdir()
    refuse(copy, "cannot be read")


@pytest.mark.parametrize("file", ["code.py", "../outside.json", "/etc/passwd"])
def test_a_manifest_with_a_file_too_many_is_refused(copy: Path, file: str) -> None:
    edit_manifest(copy, lambda m: m["files"].update({file: m["files"]["pool.json"]}))
    refuse(copy, "lists other files")


def test_a_manifest_with_a_file_too_few_is_refused(copy: Path) -> None:
    edit_manifest(copy, lambda m: m["files"].pop("conformal.json"))
    refuse(copy, "lists other files")


@pytest.mark.parametrize(
    ("key", "value"),
    [("format", 2), ("features_version", 0), ("categories", ["theft"]), ("name", "other")],
)
def test_a_bundle_for_another_version_is_refused(copy: Path, key: str, value: object) -> None:
    edit_manifest(copy, lambda m: m.update({key: value}))
    refuse(copy, "not for this version")


def test_a_bundle_too_large_is_refused_unread(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = sum((copy / file).stat().st_size for file in FILES)
    monkeypatch.setattr(module, "MAX_BYTES", size)
    verify(copy)
    monkeypatch.setattr(module, "MAX_BYTES", size - 1)
    refuse(copy, "larger than")
    monkeypatch.setattr(module, "MAX_MANIFEST_BYTES", 100)
    refuse(copy, "no manifest")


def test_a_file_that_grew_is_not_read_to_its_end(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stated = (copy / "pool.json").stat().st_size
    read: list[int] = []
    true = read_plain

    def spy(path: Path, limit: int) -> bytes:
        content = true(path, limit)
        if path.name == "pool.json":
            read.append(len(content))
        return content

    monkeypatch.setattr(module, "read_plain", spy)
    (copy / "pool.json").write_bytes(b"x" * 1_000_000)
    refuse(copy, "not what the manifest says")
    assert read == [stated + 1]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '"x"', "{}", '{"files": []}', '{"files": {"a": 1}}', "\udcff",
     '{"files": {"a": {"bytes": "many", "sha256": ""}}, "format": 1}'],
)  # fmt: skip
def test_a_manifest_that_is_none_is_refused(copy: Path, text: str) -> None:
    (copy / MANIFEST).write_text(text, errors="surrogateescape")
    refuse(copy, "no manifest|not for this version")


@pytest.mark.parametrize("file", [name for name in FILES if name != "card.json"])
@pytest.mark.parametrize("content", [b"", b"{}", b"not at all", b"\x93NUMPY\x01\x00"])
def test_a_file_that_fits_its_manifest_but_is_nonsense_is_refused(
    copy: Path, file: str, content: bytes
) -> None:
    replace_file(copy, file, content)
    if file == "golden.json" and content == b"{}":
        return  # read as it is; `check_golden` refuses it
    refuse(copy, "cannot be read|do not fit")


def test_an_array_of_objects_is_never_unpickled(copy: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "bang",)

    np.save(tmp_path / "bad.npy", np.array([Bomb()], object), allow_pickle=True)
    replace_file(copy, "linear.npy", (tmp_path / "bad.npy").read_bytes())
    refuse(copy, "cannot be read")
    assert not (tmp_path / "bang").exists()


def test_parts_that_do_not_fit_each_other_are_refused(copy: Path, tmp_path: Path) -> None:
    weights = np.load(copy / "linear.npy")
    np.save(tmp_path / "short.npy", weights[:-1])
    replace_file(copy, "linear.npy", (tmp_path / "short.npy").read_bytes())
    refuse(copy, "do not fit: linear weights")


def test_thresholds_of_another_shape_are_refused(copy: Path) -> None:
    replace_file(copy, "conformal.json", b'{"coverage": 0.9, "thresholds": [0.1]}')
    refuse(copy, "do not fit: conformal thresholds")


def test_no_file_of_a_bundle_is_a_pickle(tiny_bundle: Path) -> None:
    for file in FILES:
        content = (tiny_bundle / file).read_bytes()
        assert not content.startswith(b"\x80")
        with pytest.raises(Exception):  # noqa: B017, PT011 -- anything but a program
            list(pickletools.genops(content))
        assert b"csklearn" not in content
        assert b"cnumpy" not in content


def test_the_folder_is_the_bundle_and_nothing_else(tiny_bundle: Path) -> None:
    assert {path.name for path in tiny_bundle.iterdir()} == {MANIFEST, *FILES}
    assert not [path for path in tiny_bundle.parent.iterdir() if path.name.startswith(".")]


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    refuse(tmp_path / "none", "cannot be read")
    refuse(tmp_path, "cannot be read")
