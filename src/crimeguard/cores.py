"""How many processors this process may use: in a container often fewer than there are."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")


def cores(quota: Path = _QUOTA) -> int:
    """Return the processors that affinity and the container's limit allow, at least 1.

    `quota` is the control group's own file (Linux, cgroup v2): microseconds of processor
    time in a period of so many microseconds, or `max`.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    most = allowed or os.cpu_count() or 1
    try:
        time, period = quota.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return most  # no limit is told on this system
    if time == "max":
        return most
    return max(1, min(most, math.ceil(int(time) / int(period))))
