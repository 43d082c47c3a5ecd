from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from crimeguard.domain.errors import RegistryError
from crimeguard.registry.folder import held

HOLDER = """
import sys, pathlib
from crimeguard.registry.folder import held
with held(pathlib.Path(sys.argv[1]), "lock"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_at_a_time_and_the_lock_of_a_process_that_died_is_free(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdin is not None
    assert holder.stdout is not None
    with holder.stdin, holder.stdout:
        assert holder.stdout.readline() == b"held\n"
        waiting = held(tmp_path, "lock", patience=0.1)
        with pytest.raises(RegistryError, match="cannot be worked in"), waiting:
            pytest.fail("two held it")
        holder.kill()
        holder.wait(timeout=30)
    with held(tmp_path, "lock"):
        assert (tmp_path / "lock").exists()


def test_another_name_is_another_lock(tmp_path: Path) -> None:
    with held(tmp_path, "one"), held(tmp_path, "other", patience=0.1):
        assert {item.name for item in tmp_path.iterdir()} == {"one", "other"}


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RegistryError, match="cannot be worked in"), held(tmp_path / "file", "lock"):
        pytest.fail("it was held")
