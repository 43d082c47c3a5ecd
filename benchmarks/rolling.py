"""What callers notice of a rolling update, and of one that goes back by itself: nothing.

    python -m benchmarks.rolling BUNDLE [updates]

Builds the backend's image, runs two replicas of it behind HAProxy, and asks for predictions
from four threads while the service changes from one model to another and back, and while a
model that does not load is rolled out and taken back. Once with replicas that close at
once when they are told to end, once with replicas that answer on for two seconds
(CRIMEGUARD_DRAIN_SECONDS). Fails if a request fails in the second case.

Needs a container engine of its own, so root and Debian's docker.io; or CRIMEGUARD_TEST_ENGINE
and CRIMEGUARD_TEST_NETWORK_ENGINE.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.delivery.conftest import build
from tests.delivery.engine import ensure_base, open_engine
from tests.delivery.swarm import Rolling, give_images, rolling, write_bundles

from crimeguard.registry.bundle import Bundle


def main() -> None:
    bundle = Bundle.load(Path(sys.argv[1]))
    updates = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    day = dt.datetime.now(dt.UTC).date()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, CPython {platform.python_version()}, {day}"
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        open_engine(network=False) as engine,
        open_engine(network=True) as network_engine,
    ):
        names = {sha: name for name, sha in write_bundles(bundle, Path(folder)).items()}
        ensure_base(engine)
        image = build(engine, "backend")
        give_images(engine, network_engine, image)
        failed = 0
        for drain in (0.0, 2.0):
            with rolling(network_engine, image, Path(folder), drain=drain) as service:
                failed = measured(service, f"drain {drain:g} s", updates, names)
    if failed:
        raise SystemExit(1)


def measured(service: Rolling, what: str, updates: int, names: dict[str, str]) -> int:
    """Print a line for each update and for the rollback; return the failed requests."""
    failed = 0
    for number in range(updates):
        model = "v1" if number % 2 else "v2"
        failed += told(service, f"{what}, update to {model}", model, names)
    return failed + told(service, f"{what}, damaged model", "damaged", names)


def told(service: Rolling, what: str, model: str, names: dict[str, str]) -> int:
    began = time.monotonic()
    with service.load() as report:
        state = service.update(f"--env-add=CRIMEGUARD_BUNDLE=/bundles/{model}")
    print(f"{what}: {state} in {time.monotonic() - began:.0f} s, {_line(report, names)}")
    return sum(report["failures"].values())


def _line(report: dict[str, Any], names: dict[str, str]) -> str:
    models = ", ".join(f"{names[sha]} {count:,}" for sha, count in report["models"].items())
    failures = Counter(report["failures"])
    first = f" ({failures.most_common(1)[0][0].strip()})" if failures else ""
    return (
        f"{report['requests']:,} requests ({models}), {failures.total()} failed{first}, "
        f"p50 {report['p50_ms']} ms, p99 {report['p99_ms']} ms, max {report['max_ms']} ms"
    )


if __name__ == "__main__":
    main()
