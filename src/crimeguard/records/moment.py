"""Points in time as the records keep them: whole microseconds since 1970, UTC."""

from __future__ import annotations

import datetime as dt
import time
from typing import Final

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)


def now() -> int:
    """Return this moment."""
    return time.time_ns() // 1_000


def to_moment(time: dt.datetime) -> int:
    """Return a time as microseconds; ValueError if it does not say its zone."""
    if time.tzinfo is None:
        raise ValueError("a time without a zone means a different moment everywhere")
    return (time - _EPOCH) // _MICROSECOND


def to_time(moment: int) -> dt.datetime:
    """Return microseconds as a time in UTC."""
    return _EPOCH + moment * _MICROSECOND
