"""The whole chain for real: `crimeguard serve` beside an MLflow whose alias moves."""

import dataclasses
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import polars as pl
import pytest

from crimeguard import pipeline
from crimeguard.cli.up import EXAMPLE
from crimeguard.ingest.snapshot import write_snapshot
from crimeguard.registry.store import Registry
from crimeguard.settings import Settings
from crimeguard.train.params import Params

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


@pytest.mark.slow
def test_a_promotion_and_a_way_back_are_followed_without_a_restart(
    home: Callable[[], Settings], incidents: pl.DataFrame, tiny_params: Params
) -> None:
    settings = home()
    registry = Registry(settings.tracking_uri, artifacts=settings.home / "mlflow" / "artifacts")
    with serving(settings) as url:
        wait_for(lambda: httpx.get(f"{url}/readyz").status_code, 200)
        first = httpx.post(f"{url}/predict", json=EXAMPLE).json()
        assert first["model_info"]["sha256"] == registry.versions()[0].sha256

        other = dataclasses.replace(tiny_params, seed=tiny_params.seed + 1)
        snapshot = write_snapshot(incidents, settings.home, source="tests")
        trained = pipeline.train(snapshot, other, settings.home)
        version = pipeline.register(trained, snapshot, registry)
        assert version == "2"
        registry.promote(version)

        def served() -> str:
            answer = httpx.post(f"{url}/predict", json=EXAMPLE).json()
            return str(answer["model_info"]["sha256"])

        wait_for(served, trained.bundle.sha256)
        registry.promote("1")
        wait_for(served, first["model_info"]["sha256"])
        again = httpx.post(f"{url}/predict", json=EXAMPLE).json()
        assert again["probabilities"] == first["probabilities"]
