"""Other verbs of this program, run beside this one and ended with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

from crimeguard.domain.errors import CrimeGuardError


@contextmanager
def child(
    *words: str, environ: Mapping[str, str] | None = None, log: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run another verb, with more variables than ours, and end it when we end.

    What it says goes where ours goes, or into the file `log`.
    """
    program = [sys.executable, "-m", "crimeguard", *words]
    with nullcontext() if log is None else log.open("wb") as said:
        process = subprocess.Popen(  # noqa: S603 -- our own program, fixed arguments
            program, env={**os.environ, **(environ or {})}, stdout=said, stderr=said
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_ready(api: str, process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    """Return once an API answers that it is ready; CrimeGuardError if it ends or takes longer."""
    import httpx

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            raise CrimeGuardError("The API ended before it was ready.",
                                  fix="See its words above, and `crimeguard doctor`.")  # fmt: skip
        try:
            if httpx.get(f"{api}/readyz", timeout=2).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.2)
    raise CrimeGuardError(f"The API was not ready within {seconds:.0f} seconds.",
                          fix="Run `crimeguard serve` and read what it says.")  # fmt: skip
