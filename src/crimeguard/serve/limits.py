"""How many requests an API key may make: a token bucket for each.

A request is a request, whatever it carries. How many rows a batch has is not known before
its body is read, and the limit is there so that nothing is read; batches wait in a queue of
their own, one at a time, and their size has bounds of its own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from crimeguard.settings import Settings

_SECONDS_AT_ONCE: Final = 2  # worth of requests that may come at once if nothing is said


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests a second in the long run, and so many at once; 0 a second is no limit."""

    per_second: float
    burst: int = 0

    @property
    def most(self) -> int:
        """What a full bucket holds, at least one request."""
        return self.burst or max(1, math.ceil(self.per_second * _SECONDS_AT_ONCE))

    def shared(self, processes: int) -> Rate:
        """Return the share of one of several processes that answer."""
        return Rate(self.per_second / processes, max(1, math.ceil(self.most / processes)))


class Bucket:
    """Full at first; fills by the rate, and each request takes one out."""

    __slots__ = ("_at", "_left", "_rate")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._left = float(rate.most)
        self._at = now

    def take(self, now: float) -> float:
        """Take one out and return 0, or return the seconds until there is one again."""
        self._left = self._filled(now)
        self._at = now
        if self._left >= 1:
            self._left -= 1
            return 0.0
        return (1 - self._left) / self._rate.per_second

    def full(self, now: float) -> bool:
        """Whether it is as good as new."""
        return self._filled(now) >= self._rate.most

    def _filled(self, now: float) -> float:
        return min(self._rate.most, self._left + (now - self._at) * self._rate.per_second)


class Limits:
    """The buckets of all who ask, by name; to be used from one thread.

    Parameters
    ----------
    rate
        For everybody who has no rate of their own.
    processes
        How many share the work: each lets pass its share.
    clock
        Tells seconds; tests put their own here.
    """

    def __init__(
        self, rate: Rate, *, processes: int = 1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._processes = processes
        self._clock = clock
        self._buckets: dict[tuple[str, Rate], Bucket] = {}

    def __len__(self) -> int:
        """How many buckets are remembered."""
        return len(self._buckets)

    def take(self, name: str, own: Rate | None = None) -> float:
        """Let one request pass and return 0, or return the seconds that it must wait."""
        rate = self._rate if own is None else own
        if not rate.per_second:
            return 0.0
        now = self._clock()
        bucket = self._buckets.get((name, rate))
        if bucket is None:
            # One that is full knows nothing: so there are never more than keys in use.
            self._buckets = {who: old for who, old in self._buckets.items() if not old.full(now)}
            bucket = self._buckets[name, rate] = Bucket(rate.shared(self._processes), now)
        return bucket.take(now)


def limits_of(settings: Settings) -> Limits:
    """Return the limits that the settings name, for one of their worker processes."""
    rate = Rate(settings.rate_per_second, settings.rate_burst)
    return Limits(rate, processes=settings.workers)
