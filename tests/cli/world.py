"""What the tests of the verbs share: the program as `crimeguard` runs it, and folders compared."""

from __future__ import annotations

import hashlib
import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from crimeguard.cli import app as program
from crimeguard.cli.console import console


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


def crimeguard(*words: object) -> Done:
    """Run the program with its own way of telling errors, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.object(sys, "argv", ["crimeguard", *map(str, words)]),
        patch.object(console, "_file", err),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            program.main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return Done(code, out.getvalue(), err.getvalue())


def contents(folder: Path) -> dict[str, str]:
    """Return every file below a folder with the sha256 of what it holds."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def refused(done: Done, code: int, *words: str) -> None:
    """Check that a command ended with a clear error, and not with a traceback."""
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err, done.err
    assert done.out == ""
