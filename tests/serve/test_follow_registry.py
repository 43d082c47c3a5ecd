"""The whole chain for real: `crimeguard serve` beside an MLflow whose alias moves."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from crimeguard.cli.up import EXAMPLE
from crimeguard.registry.life import promote, rollback
from crimeguard.settings import Settings
from crimeguard.train.params import Params
from tests.registry.versions import ACTOR, judged, sitting

PATIENCE = 90  # seconds; importing MLflow takes several on a busy machine


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "CRIMEGUARD_HOME": str(settings.home),
                   "CRIMEGUARD_FOLLOW_SECONDS": "0.2"}  # fmt: skip
    child = subprocess.Popen(
        [sys.executable, "-m", "crimeguard", "serve", "--port", str(port)], env=environment
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        assert child.wait(timeout=30) == 0


def wait_for(ask: Callable[[], Any], wanted: Any) -> None:
    until = time.monotonic() + PATIENCE
    found: Any = None
    while time.monotonic() < until:
        try:
            found = ask()
        except httpx.TransportError:
            found = None
        if found == wanted:
            return
        time.sleep(0.2)
    pytest.fail(f"still {found!r}, not {wanted!r}, after {PATIENCE} s")


def answers(url: str) -> list[bytes]:
    """Ask for some incidents, alone and together; identifiers are new every time."""
    incidents = [{**EXAMPLE, "AREA": str(area)} for area in range(1, 8)]
    asked = [("/predict", item) for item in incidents] + [("/predict/batch", incidents)]
    bodies = [httpx.post(url + path, json=body).raise_for_status().content for path, body in asked]
    return [
        re.sub(rb'"prediction_id":"[0-9a-f]{32}"', b'"prediction_id":""', body) for body in bodies
    ]


@pytest.mark.slow
def test_a_promotion_is_followed_and_after_a_rollback_the_answers_are_the_same_bytes(
    three_versions: Path, use_home: Callable[[Path], Settings], tiny_params: Params
) -> None:
    settings = use_home(three_versions)
    with sitting(settings, tiny_params) as court, serving(settings) as url:
        old, new = (court.registry.sha256_of(number) for number in ("1", "2"))

        def served() -> str:
            return str(httpx.get(f"{url}/health").json()["model_info"]["sha256"])

        wait_for(lambda: httpx.get(f"{url}/readyz").status_code, 200)
        assert served() == old
        before = answers(url)

        promote(court, "2", judged(court, "2"), ACTOR)
        wait_for(served, new)
        between = answers(url)
        assert all(one != other for one, other in zip(before, between, strict=True))
        assert shares(between) != shares(before)

        rollback(court, ACTOR)
        wait_for(served, old)
        assert answers(url) == before


def shares(bodies: list[bytes]) -> list[dict[str, float]]:
    return [json.loads(body)["probabilities"] for body in bodies[:-1]]
