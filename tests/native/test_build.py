import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from crimeguard.native.build import build, compiler
from crimeguard.native.library import FOLDER, load, target


def stand_in(folder: Path, script: str) -> None:
    folder.mkdir()
    program = folder / "cc"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_it_compiles_once(compiled: Path) -> None:
    before = compiled.stat().st_mtime_ns
    assert build(compiled.parent) == f"The kernel is compiled already: {compiled.name}."
    assert compiled.stat().st_mtime_ns == before
    assert [file.name for file in compiled.parent.iterdir()] == [compiled.name]


def test_what_is_stale_goes(compiled: Path, tmp_path: Path) -> None:
    stale = tmp_path / "_kernel-another.so"
    stale.write_bytes(compiled.read_bytes())
    assert build(tmp_path).startswith("The kernel is compiled: ")
    assert not stale.exists()
    assert load(target(tmp_path)).answer is not None


def test_without_a_compiler_it_says_so_and_leaves_with_0(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "crimeguard" / "native",
                    ignore=shutil.ignore_patterns("*.so", "__pycache__"))  # fmt: skip
    (tmp_path / "crimeguard" / "__init__.py").touch()
    environ = {**os.environ, "PATH": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-m", "crimeguard.native.build"], env=environ,
                          cwd=tmp_path, capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout == ("No C compiler (cc, gcc, clang) was found: NumPy answers, "
                           "more slowly.\n")  # fmt: skip
    assert not list(tmp_path.rglob("*.so"))


def test_a_compiler_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path / "bin", "echo no headers >&2; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    folder = tmp_path / "native"
    folder.mkdir()
    assert compiler() == str(tmp_path / "bin" / "cc")
    said = build(folder)
    assert said.endswith("cc failed: no headers. NumPy answers, more slowly.")
    assert not list(folder.iterdir())


def test_a_compiler_that_makes_nothing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path / "bin", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    folder = tmp_path / "native"
    folder.mkdir()
    assert build(folder).startswith("The kernel could not be compiled: ")
    assert not list(folder.iterdir())


def test_the_source_has_no_warning(tmp_path: Path) -> None:
    program = shutil.which("gcc")
    if program is None:
        pytest.skip("there is no gcc")
    subprocess.run([program, "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-O2", "-c",
                    FOLDER / "kernel.c", "-o", tmp_path / "kernel.o"], check=True)  # fmt: skip
