import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from crimeguard.native import library as module
from crimeguard.native.build import compiler
from crimeguard.native.library import LAYOUT, SOURCE, library, load, target


@pytest.fixture
def afresh() -> Iterator[None]:
    library.cache_clear()
    yield
    library.cache_clear()


def test_what_was_compiled_is_loaded(compiled: Path) -> None:
    found = load(compiled)
    assert found.answer is not None
    assert (found.layout, found.why) == (LAYOUT, "")


@pytest.mark.usefixtures("afresh")
def test_the_environment_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRIMEGUARD_NATIVE", "0")
    assert library().answer is None
    assert library().why == "CRIMEGUARD_NATIVE=0"


def test_another_source_has_another_name(
    compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = tmp_path / "kernel.c"
    shutil.copy(SOURCE, changed)
    with changed.open("a") as file:
        file.write("/* changed */\n")
    monkeypatch.setattr(module, "SOURCE", changed)
    stale = target(compiled.parent)
    assert stale.name != compiled.name
    found = load(stale)
    assert (found.answer, found.why) == (None, "it was not compiled")


def test_what_is_no_library_is_told(tmp_path: Path) -> None:
    file = tmp_path / "broken.so"
    file.write_bytes(b"no library")
    found = load(file)
    assert found.answer is None
    assert found.why.startswith("it cannot be loaded: ")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("long long crimeguard_layout[8] = {1}; int crimeguard_answer(void) { return 0; }",
         "it was compiled with other sizes: (1, 0, 0, 0, 0, 0, 0, 0)"),
        ("int crimeguard_answer(void) { return 0; }", "it cannot be loaded: "),
    ],
)  # fmt: skip
def test_a_library_of_another_making_is_refused(tmp_path: Path, source: str, why: str) -> None:
    program = compiler()
    if program is None:
        pytest.skip("there is no C compiler")
    (tmp_path / "other.c").write_text(source)
    made = tmp_path / "other.so"
    subprocess.run([program, "-shared", "-fPIC", tmp_path / "other.c", "-o", made], check=True)
    found = load(made)
    assert found.answer is None
    assert found.why.startswith(why)
