from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

from crimeguard.serve.app import create_app
from crimeguard.serve.follower import Follower
from crimeguard.serve.slot import Slot
from crimeguard.settings import Settings
from tests.serve.fakes import Client, FakePredictor, FakeRegistry


def test_it_has_the_paths_of_the_design_and_no_others(client: Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {
        "/predict", "/predict/batch", "/labels", "/experiment", "/model", "/health", "/livez",
        "/readyz", "/metrics", "/v2", "/v2/health/live", "/v2/health/ready",
        "/v2/models/crimeguard", "/v2/models/crimeguard/ready", "/v2/models/crimeguard/infer",
    }  # fmt: skip


def test_it_follows_from_start_to_end(settings: Settings, tmp_path: Path) -> None:
    slot = Slot()
    follower = Follower(
        slot, connect=lambda: FakeRegistry("3"), load=lambda _: FakePredictor("3"),
        cache=tmp_path / "bundles", every=0.01,
    )  # fmt: skip
    app = create_app(settings, slot, follower)

    async def live() -> None:
        async with app.router.lifespan_context(app):
            end = time.monotonic() + 30
            while slot.current is None and time.monotonic() < end:
                await asyncio.sleep(0.01)

    asyncio.run(live())
    assert slot.require().bundle.version == "3"
    assert "crimeguard-follower" not in {thread.name for thread in threading.enumerate()}
