"""A bundle plays once in a child process before it comes on in the server.

The readers of native boosters trust what they read: one flipped bit can end the process that
they run in, or keep it busy for ever. The sha256 of every file stands before them, but a
manifest may have been made over bytes that were damaged already. So a child process loads,
checks and warms a new bundle first; only what it survives is loaded by the server itself.

`python -m crimeguard.serve.rehearsal FOLDER` is that child.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

from crimeguard.domain.errors import BundleError

_PATIENCE: Final = 120  # seconds; a bundle of 30,000 rows takes two, most of it imports
_MOST_MEMORY: Final = 4_000_000_000  # bytes
_NICE: Final = 10  # whom requests are waiting for comes first
_READERS: Final = ("crimeguard", "numpy", "polars", "scipy")
_KEPT: Final = 32  # notes on bundles that were survived
_FIX: Final = "Train it again; the bundle in service stays."


class Rehearsal:
    """Remembers what was survived, so that it happens once for each bundle and home.

    Parameters
    ----------
    notes
        A folder for empty files, named by the bundle and by the versions of its readers;
        shared by the workers of a server.
    """

    def __init__(self, notes: Path) -> None:
        self._notes = notes

    def require(self, folder: Path, sha256: str) -> None:
        """Load a bundle in a child process, unless one has survived it; BundleError if not.

        `sha256` is that of its manifest.
        """
        note = self._notes / f"{sha256}-{_readers()}"
        if note.exists():
            return
        found = rehearse(folder)
        if found != sha256:
            raise BundleError(f"The bundle in {folder} changed while it was read.")
        try:
            self._notes.mkdir(parents=True, exist_ok=True)
            note.touch()
            self._prune()
        except OSError:
            return  # it is only done again

    def _prune(self) -> None:
        notes = sorted(self._notes.iterdir(), key=lambda item: item.stat().st_mtime)
        for old in notes[:-_KEPT]:
            old.unlink(missing_ok=True)


def rehearse(folder: Path) -> str:
    """Let a child process load, check and warm a bundle; return its sha256.

    BundleError says what it met, or that it did not survive.
    """
    try:
        # The program is ours and fixed, what it reads was named by the registry.
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-I", "-m", "crimeguard.serve.rehearsal", str(folder.absolute())],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=_PATIENCE, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise BundleError(f"The bundle in {folder} is not ready after {_PATIENCE} seconds.",
                          why="It keeps its reader busy.", fix=_FIX) from None  # fmt: skip
    except OSError as error:
        raise BundleError(
            f"The bundle in {folder} cannot be tried.",
            why=f"No process can be started: {error.strerror}.",
        ) from error
    try:
        said = json.loads(done.stdout.splitlines()[-1])
        if done.returncode == 0:
            return str(said["sha256"])
        what, why = str(said["what"]), str(said["why"])
    except (ValueError, LookupError, TypeError):
        raise BundleError(f"The bundle in {folder} ends the process that reads it.",
                          why=f"The child process {_ending(done.returncode)}.",
                          fix=_FIX) from None  # fmt: skip
    raise BundleError(what, why=why, fix=_FIX)


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code} and no answer"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _readers() -> str:
    """Return what stands for the versions of all that reads a bundle."""
    names = " ".join(f"{name}=={version(name)}" for name in _READERS)
    return hashlib.sha256(names.encode()).hexdigest()[:12]


def main(folder: Path) -> int:
    """Load, check and warm a bundle; tell its sha256 or what is wrong as one line of JSON."""
    resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY, _MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_PATIENCE, _PATIENCE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(_NICE)
    # Who presses Ctrl-C means the server.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    from crimeguard.serve import server
    from crimeguard.serve.warm import warm

    try:
        predictor = server.load(folder)
        warm(predictor)
    except BundleError as error:
        _say({"what": error.what, "why": error.why})
        return 1
    _say({"sha256": predictor.bundle.sha256})
    return 0


def _say(document: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    # Without the orderly end of libraries that may have been led astray.
    code = main(Path(sys.argv[1]))
    os._exit(code)
