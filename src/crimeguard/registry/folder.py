"""The folder that a bundle lies in, and one that several processes share.

What is in a bundle may come from anywhere: only plain files are read, no further than they
may be long, and no link is followed out of the folder.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from crimeguard.domain.errors import BundleError, RegistryError

MANIFEST: Final = "manifest.json"
MAX_MANIFEST_BYTES: Final = 1_000_000
# Stands beside the manifest where a bundle is signed; see registry/signature.py.
SIGNATURE: Final = "manifest.sig"
_NO_LINK: Final = "It is a link."
_NOT_PLAIN: Final = "It is no plain file."
_PAUSE: Final = 0.05  # seconds
_PATIENCE: Final = 120.0  # seconds: a fetch over a slow line, less than a look's own patience


def read_plain(path: Path, limit: int) -> bytes:
    """Read a file, at most one byte more than `limit`; BundleError unless it is a plain one.

    A pipe is not waited for, a link not followed.
    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise _unreadable(path, _NOT_PLAIN)
        with os.fdopen(os.dup(number), "rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    finally:
        os.close(number)


def entries(path: Path) -> set[str]:
    """Return the names of all that lies in a folder; BundleError if it cannot be listed."""
    try:
        return set(os.listdir(path))  # noqa: PTH208 -- names are asked for, not paths
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception | str) -> BundleError:
    if isinstance(error, OSError):
        why = _NO_LINK if error.errno == errno.ELOOP else f"{error.strerror}."
    else:
        why = str(error)
    return BundleError(f"{path} cannot be read.", why=why,
                       fix="Name a folder that `crimeguard train` wrote.")  # fmt: skip


@contextmanager
def held(folder: Path, name: str, *, patience: float = _PATIENCE) -> Iterator[None]:
    """Let one process at a time, and one thread of it, work in a folder that many share.

    The kernel lets go of the lock when its holder dies. RegistryError if it is held for
    longer than `patience` seconds, or cannot be had.
    """
    path = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as error:
        raise _unlocked(path, f"{error.strerror}.") from None
    with file:
        end = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise _unlocked(path, "Another process has worked there for "
                                    f"{patience:g} seconds.") from None  # fmt: skip
                time.sleep(_PAUSE)
            except OSError as error:
                raise _unlocked(path, f"{error.strerror}.") from None
        yield


def _unlocked(path: Path, why: str) -> RegistryError:
    return RegistryError(f"The folder {path.parent} cannot be worked in.", why=why,
                         fix="Free it, or set CRIMEGUARD_HOME to a local folder that may be "
                         "written to; what is served goes on being served.")  # fmt: skip
