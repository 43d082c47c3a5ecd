"""A workspace as Jenkins makes one: a clone of this repository."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.delivery.harness import ROOT

LONG_AGO = 1_600_000_000
_MADE_OF = ("Makefile", "pyproject.toml", "package-lock.json", "src/crimeguard/native/kernel.c")


def clone(folder: Path) -> Path:
    """Clone this repository as it stands, with what is not committed yet.

    The environment is a link to the one that runs the tests, so that nothing is installed
    again; PYTHONPATH has to name the clone's `src` for its code to be what runs. What that
    environment is made of is older than it, or `make` would bring it up to date.
    """
    git("clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder), at=ROOT)
    for name in _listed("--modified", "--others", "--exclude-standard"):
        source, target = ROOT / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
        elif not source.exists():
            target.unlink(missing_ok=True)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    for path in map(folder.joinpath, _MADE_OF):
        os.utime(path, (LONG_AGO, LONG_AGO))
    for path in (folder / "requirements").iterdir():
        os.utime(path, (LONG_AGO, LONG_AGO))
    return folder


def git(*words: str, at: Path) -> str:
    """Run git in a folder and return what it says."""
    command = ["git", "-c", "safe.directory=*", *words]
    done = subprocess.run(command, cwd=at, capture_output=True, text=True, check=True)
    return done.stdout


def _listed(*options: str) -> list[str]:
    return [name for name in git("ls-files", "-z", *options, at=ROOT).split("\0") if name]
