"""One retraining at a time: a lock that the kernel lets go of when its holder dies."""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import Final

from crimeguard.domain.errors import CrimeGuardError

FILE: Final = "retraining.lock"
# Who only asks whether the lock is held has it for some microseconds; that must not
# turn a retraining away.
_TRIES: Final = 10
_PAUSE: Final = 0.02


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds the lock; `since` is ISO 8601 in UTC."""

    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"


class LockedError(CrimeGuardError):
    """Another retraining runs; `holder` is None in the moment before it wrote its name."""

    def __init__(self, holder: Holder | None) -> None:
        super().__init__(
            "Another retraining runs.",
            why=f"The lock is held by {holder or 'a process that has not said its name yet'}.",
            fix="Wait until it has ended; the lock of a process that died is free by itself.",
        )
        self.holder = holder


@contextmanager
def retraining_lock(home: Path) -> Iterator[Holder]:
    """Hold the lock of a CRIMEGUARD_HOME; LockedError if somebody else does.

    The lock is flock(2) on `home`/retraining.lock, so it ends with the process, however that
    ends. It is of the open file: a second use in the same process is refused as well. The
    file stays, since removing it would let two processes hold locks on two files of one
    name. CrimeGuardError if it cannot be opened.
    """
    with _opened(home) as file:
        if not _taken(file):
            raise LockedError(_holder(file))
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        holder = Holder(os.getpid(), socket.gethostname(), now)
        _write(file, json.dumps(asdict(holder)).encode())
        try:
            yield holder
        finally:
            # The next one must not be told of us while it has not written its own name.
            _write(file, b"")


def is_locked(home: Path) -> bool:
    """Tell whether a retraining holds the lock of `home` now, this process included."""
    if not (home / FILE).exists():
        return False
    with _opened(home) as file:
        return not _try(file, fcntl.LOCK_SH)


def _opened(home: Path) -> FileIO:
    path = home / FILE
    try:
        home.mkdir(parents=True, exist_ok=True)
        return path.open("a+b", buffering=0)
    except OSError as error:
        raise CrimeGuardError(f"{path} cannot be opened.", why=f"{error.strerror}.",
                              fix="Set CRIMEGUARD_HOME to a folder that you may write to."
                              ) from None  # fmt: skip


def _taken(file: FileIO) -> bool:
    for _ in range(_TRIES - 1):
        if _try(file, fcntl.LOCK_EX):
            return True
        time.sleep(_PAUSE)
    return _try(file, fcntl.LOCK_EX)


def _try(file: FileIO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise CrimeGuardError(f"{file.name!r} cannot be locked.", why=f"{error.strerror}.",
                              fix="Put CRIMEGUARD_HOME on a disk that knows flock."
                              ) from None  # fmt: skip
    return True


def _write(file: FileIO, note: bytes) -> None:
    try:
        file.truncate(0)
        file.write(note)
    except OSError as error:
        raise CrimeGuardError(f"{file.name!r} cannot be written.", why=f"{error.strerror}.",
                              fix="Free some space.") from None  # fmt: skip


def _holder(file: FileIO) -> Holder | None:
    file.seek(0)
    try:
        said = json.loads(file.read())
        return Holder(int(said["pid"]), str(said["host"]), str(said["since"]))
    except (ValueError, KeyError, TypeError):
        return None
