from pathlib import Path

import pytest

from crimeguard.domain.errors import DataError
from crimeguard.ingest.pointer import Pointer, pointers

KNOWN = Pointer("0123456789abcdef", "a" * 32, 1234, 3, "b" * 64, "7 incidents: of a test")


def test_a_pointer_is_read_as_it_was_written_and_looks_like_one_of_dvc(tmp_path: Path) -> None:
    file = KNOWN.write(tmp_path)
    assert Pointer.read(file) == KNOWN
    assert file.read_text() == (
        "desc: '7 incidents: of a test'\n"
        f"meta:\n  content_sha256: {'b' * 64}\n"
        f"outs:\n- md5: {'a' * 32}.dir\n  size: 1234\n  nfiles: 3\n  hash: md5\n"
        "  path: 0123456789abcdef\n"
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a" * 32, "../" * 10),
        ("b" * 64, "b" * 63),
        ("path: 0123456789abcdef", "path: ../../../etc"),
        ("path: 0123456789abcdef", "path: fedcba9876543210"),
        ("size: 1234", "size: many"),
        ("outs:", "deps:"),
        ("meta:", "meta: [}"),
        ("meta:", "meta: !!python/object/apply:os.system"),
    ],
)
def test_what_is_no_pointer_is_refused(before: str, after: str, tmp_path: Path) -> None:
    file = KNOWN.write(tmp_path)
    file.write_text(file.read_text().replace(before, after))
    with pytest.raises(DataError, match="is no pointer to a snapshot") as refused:
        Pointer.read(file)
    assert refused.value.fix


def test_a_pointer_that_dvc_wrote_says_less_and_is_held_to_the_id(tmp_path: Path) -> None:
    file = KNOWN.write(tmp_path)
    text = file.read_text()
    file.write_text(text[text.index("outs:") :])  # as `dvc add` writes it
    theirs = Pointer.read(file)
    assert (theirs.oid, theirs.size, theirs.content_sha256) == (KNOWN.oid, KNOWN.size, "")
    assert theirs.says(theirs.snapshot + "f" * 48)
    assert not theirs.says("f" * 64)
    assert KNOWN.says("b" * 64)
    assert not KNOWN.says("b" * 63 + "c")
    theirs.write(tmp_path)
    assert Pointer.read(file) == theirs


def test_pointers_are_chosen_by_the_beginning_of_their_ids(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing to pull"):
        pointers(tmp_path / "none")
    KNOWN.write(tmp_path)
    (tmp_path / "other.dvc").write_text("a pointer of somebody else's")
    assert pointers(tmp_path) == pointers(tmp_path, ["0123"]) == [KNOWN]
    with pytest.raises(DataError, match="has 0 snapshots that begin with 'f'"):
        pointers(tmp_path, ["f"])
