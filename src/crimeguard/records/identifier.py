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

import numpy as np

_COUNTER_BITS: Final = 42
_DIGITS: Final = 32
_MANY: Final = 64
# What stands between time, count and random bits, and the half of the count behind it.
_VERSION: Final = 0x7000
_VARIANT: Final = 0x8000_0000
_LOW: Final = (1 << 30) - 1


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
    written = _few if n < _MANY else _many
    digits = written(millisecond, range(first, first + n), os.urandom(4 * n)).hex()
    return [digits[start : start + _DIGITS] for start in range(0, len(digits), _DIGITS)]


def _few(millisecond: int, counts: range, tails: bytes) -> bytes:
    """Write identifiers one behind the other: 48 bits time, 42 count, 32 at random."""
    head = (millisecond << 16 | _VERSION) << 64 | _VARIANT << 32
    return b"".join(
        (head | (count >> 30) << 64 | (count & _LOW) << 32).to_bytes(16)[:12] + tails[at : at + 4]
        for at, count in zip(range(0, len(tails), 4), counts, strict=True)
    )


def _many(millisecond: int, counts: range, tails: bytes) -> bytes:
    """Write the same for many at once; for few it takes longer."""
    count = np.arange(counts.start, counts.stop, dtype=np.uint64)
    words = np.empty((len(counts), 4), ">u4")
    words[:, 0] = millisecond >> 16
    words[:, 1] = (millisecond & 0xFFFF) << 16 | _VERSION | count >> np.uint64(30)
    words[:, 2] = _VARIANT | count & np.uint64(_LOW)
    words[:, 3] = np.frombuffer(tails, ">u4")
    return words.tobytes()
