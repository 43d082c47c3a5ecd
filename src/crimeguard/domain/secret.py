"""Secrets that are none: the placeholders of examples, alone or inside an address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote, urlsplit

PLACEHOLDER: Final = "changethis"
# Nobody means these, wherever they stand.
_EXAMPLE: Final = re.compile(
    r"change[-_ ]?(this|me|it)[-_!.\d]*|replace[-_ ]?(this|me)|x{3,}|\*{3,}|\.{3,}"
    r"|your[-_ ].+|<.*>|\$?\{.*\}|to[-_]?do|placeholder",
    re.IGNORECASE,
)
# These may be a part of an address for good reasons, but are no password.
_WEAK: Final = re.compile(
    r"my[-_]?(password|secret|token)|passw(or)?d\d*|secret|token|example|admin\d*|minioadmin",
    re.IGNORECASE,
)


def placeholder(value: str) -> bool:
    """Tell whether a secret, or an address that carries one, is still an example's.

    In an address the password counts, and every part of path and query: some services
    put a token there.
    """
    value = value.strip()
    if not value:
        return False
    if any(_is(part, weak=weak) for part, weak in _parts(value)):
        return True
    return _is(value, weak=True)


def _parts(value: str) -> Iterator[tuple[str, bool]]:
    """Return the parts of an address or list, and whether a weak word is wrong there."""
    try:
        address = urlsplit(value)
        password = address.password
    except ValueError:
        return
    if address.scheme and "://" in value:
        yield unquote(password or ""), True
        for part in re.split(r"[/?&=]", f"{address.path}?{address.query}"):
            yield unquote(part), False
    else:
        for part in re.split(r"[:,\s]", value):
            yield part, False


def _is(part: str, *, weak: bool) -> bool:
    return bool(_EXAMPLE.fullmatch(part) or (weak and _WEAK.fullmatch(part)))
