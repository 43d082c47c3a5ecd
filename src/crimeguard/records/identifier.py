"""Identifiers of predictions: UUIDs of version 7 (RFC 9562), as 32 hexadecimal digits.

They begin with the time, so rows arrive at the end of the primary key's tree, and sort in
the order in which they were made. A counter behind the time keeps that order within one
millisecond; it begins at random, and 32 more random bits follow it.
"""

from __future__ import annotations

import os
import secrets
import time
from threading import Lock
from typing import Final

_COUNTER_BITS: Final = 42


class _Clock:
    """The last time and count given out, so that no identifier sorts before an earlier one."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._millisecond = 0
        self._next = 0

    def take(self, n: int) -> tuple[int, int]:
        """Return a millisecond and the first of `n` counts that belong to it."""
        with self._lock:
            now = time.time_ns() // 1_000_000
            if now > self._millisecond:
                self._begin(now)
            elif self._next + n >= 1 << _COUNTER_BITS:
                self._begin(self._millisecond + 1)
            first = self._next
            self._next += n
            return self._millisecond, first

    def _begin(self, millisecond: int) -> None:
        self._millisecond = millisecond
        # The upper half stays free for what is counted in this millisecond.
        self._next = secrets.randbits(_COUNTER_BITS - 1)


_clock: Final = _Clock()


def new_ids(n: int) -> list[str]:
    """Return `n` new identifiers, in ascending order and above all given out before."""
    millisecond, first = _clock.take(n)
    head = f"{millisecond:012x}7"
    tails = os.urandom(4 * n).hex()
    return [
        f"{head}{count >> 30:03x}{8 + (count >> 28 & 3):x}{count & 0xFFFFFFF:07x}"
        f"{tails[8 * place : 8 * place + 8]}"
        for place, count in enumerate(range(first, first + n))
    ]
