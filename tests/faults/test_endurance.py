"""Thousands of requests of all kinds leave nothing behind."""

from __future__ import annotations

import gc
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from benchmarks.endurance import asked, size
from fastapi import FastAPI

from crimeguard.records.database import open_database
from crimeguard.records.prediction_log import PredictionLog
from crimeguard.serve.app import create_app
from crimeguard.serve.slot import Slot
from crimeguard.settings import Settings
from tests.faults.raw import PREDICT, connect
from tests.faults.served import INCIDENT, Served, served
from tests.serve.fakes import Client, FakePredictor


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


@pytest.mark.slow
def test_no_descriptor_and_no_thread_stays(tiny_bundle: Path, tmp_path: Path) -> None:
    with served(tiny_bundle, Settings(home=tmp_path)) as running:
        asked(running, 800)
        assert httpx.get(f"{running.address}/livez").is_success
        until(lambda: size(running)[1:] == settled(running), "a resting server")
        _, descriptors, threads = size(running)
        asked(running, 2_000)
        for _ in range(200):
            with closing(connect(running.address)) as client:
                client.sendall(PREDICT)  # and gone before the answer
        until(lambda: size(running)[1] <= descriptors, "descriptors to be closed")
        assert size(running)[2] <= threads
    assert "Traceback" not in running.errors


def settled(running: Served) -> tuple[int, int]:
    """Return what is open once connections that idle have been closed."""
    time.sleep(6)
    return size(running)[1:]


def _ask_all(client: Client) -> None:
    client.post("/predict", json=INCIDENT)
    client.post("/predict", json={"area": "none"})
    client.post("/predict", content=b"{", headers={"Content-Type": "application/json"})
    client.post("/predict/batch", json=[INCIDENT] * 3)
    client.post("/v2/models/crimeguard/infer", json={})
    client.get("/metrics")
    client.get("/nowhere")


def _ours() -> Counter[str]:
    gc.collect()
    kinds = (type(item) for item in gc.get_objects())
    return Counter(
        f"{kind.__module__}.{kind.__qualname__}" for kind in kinds
        if str(getattr(kind, "__module__", "")).startswith("crimeguard")
    )  # fmt: skip


def test_no_object_of_ours_stays(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with closing(open_database(settings)) as database, PredictionLog(database) as log:
        app: FastAPI = create_app(settings, Slot(FakePredictor()), log=log)
        client = Client(app)
        for _ in range(3):
            _ask_all(client)
        before, threads = _ours(), threading.active_count()
        for _ in range(100):
            _ask_all(client)
        grown = {name: (before[name], number) for name, number in _ours().items()
                 if number > before[name]}  # fmt: skip
        assert grown == {}
        assert threading.active_count() <= threads + 2  # pools fill up with what they may have
        app.state.service.close()
