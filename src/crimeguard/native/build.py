"""Compile the kernel: `python -m crimeguard.native.build`.

It is optional: without a C compiler this says so and leaves with 0, and NumPy answers.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from crimeguard.native.library import FLAGS, FOLDER, PATTERN, SOURCE, target

COMPILERS: Final = ("cc", "gcc", "clang")
SECONDS: Final = 120


def compiler() -> str | None:
    """Return the path of a C compiler; None if there is none."""
    return next((path for name in COMPILERS if (path := shutil.which(name))), None)


def build(folder: Path = FOLDER) -> str:
    """Compile into `folder` what is not there yet, and say in a sentence what came of it."""
    made = target(folder)
    if made.exists():
        return f"The kernel is compiled already: {made.name}."
    program = compiler()
    if program is None:
        return f"No C compiler ({', '.join(COMPILERS)}) was found: NumPy answers, more slowly."
    try:
        _compile(program, made)
    except subprocess.CalledProcessError as error:
        words = str(error.stderr).strip().splitlines()
        return f"{program} failed: {words[0] if words else error}. NumPy answers, more slowly."
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"The kernel could not be compiled: {error}. NumPy answers, more slowly."
    for stale in folder.glob(PATTERN):
        if stale != made:
            stale.unlink(missing_ok=True)
    return f"The kernel is compiled: {made.name}."


def _compile(program: str, made: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".kernel-", dir=made.parent) as work:
        file = Path(work) / made.name
        subprocess.run(  # noqa: S603
            [program, *FLAGS, str(SOURCE), "-o", str(file), "-lm"],
            check=True, capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip
        file.chmod(0o755)
        file.replace(made)


if __name__ == "__main__":
    sys.stdout.write(f"{build()}\n")
