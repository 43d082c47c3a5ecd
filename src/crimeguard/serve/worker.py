"""One worker of several, as its supervisor starts it: `python -m crimeguard.serve.worker JSON`."""

from __future__ import annotations

import signal

# Until it can end in order it may be ended at once.
signal.signal(signal.SIGINT, signal.SIG_DFL)

import json  # noqa: E402
import os  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
from pathlib import Path  # noqa: E402

from crimeguard.domain.errors import CrimeGuardError, UsageError  # noqa: E402
from crimeguard.settings import Settings  # noqa: E402


def main(given: str) -> int:
    """Answer until told to end; return the exit code."""
    from crimeguard.serve import server
    from crimeguard.serve.shared import Shared

    asked = json.loads(given)
    threading.Thread(target=_end_with_the_supervisor, daemon=True).start()
    shared = Shared(Path(asked["folder"]), asked["place"])
    bundle = None if asked["bundle"] is None else Path(asked["bundle"])
    try:
        server.answer(
            Settings.load(), lambda: socket.socket(fileno=asked["listener"]), bundle=bundle,
            shared=shared, place=asked["place"], again=asked["again"],
        )  # fmt: skip
    except CrimeGuardError as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, UsageError) else 1
    return 0


def _end_with_the_supervisor() -> None:
    """Wait for the end of what only the supervisor holds open."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
