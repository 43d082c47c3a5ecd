"""What the channels share: addresses told without their secrets, words for what went wrong."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import SplitResult, urlsplit

from crimeguard.domain.errors import UsageError

TIMEOUT: Final = 10.0


def public_address(url: str, *schemes: str) -> str:
    """Return scheme, host and port of an address; UsageError if it is none of `schemes`."""
    known = " or ".join(f"{scheme}://" for scheme in schemes)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    # Its text would hold a part of the address.
    except ValueError:
        parts, host, port = SplitResult("", "", "", "", ""), None, None
    if parts.scheme not in schemes or not host:
        raise UsageError("This is not an address that alerts can be sent to.",
                         fix=f"Begin it with {known} and a host.")  # fmt: skip
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port else "")


def cause(error: BaseException) -> OSError:
    """Find the error of the operating system behind one of a library."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError):
            return found
        found = found.__cause__ or found.__context__
    return OSError()


def unreachable(error: OSError) -> str:
    """Say why nothing came back."""
    if isinstance(error, TimeoutError):
        return f"It did not answer within {TIMEOUT:g} s."
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({(error.reason or 'unknown').replace('_', ' ').lower()})."
    return f"It cannot be reached{f' ({error.strerror})' if error.strerror else ''}."


@contextmanager
def unlogged(name: str) -> Iterator[None]:
    """Keep this thread's records out of a library's log: whole addresses are in them."""
    mine = threading.get_ident()

    def others(record: logging.LogRecord) -> bool:  # noqa: ARG001
        return threading.get_ident() != mine

    logger = logging.getLogger(name)
    logger.addFilter(others)
    try:
        yield
    finally:
        logger.removeFilter(others)
