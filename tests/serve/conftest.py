from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from crimeguard.serve.app import create_app
from crimeguard.serve.slot import Slot
from crimeguard.settings import Settings
from tests.serve.fakes import Client, FakePredictor


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, max_body_bytes=20_000, max_upload_bytes=400_000,
                    max_batch_rows=1_000)  # fmt: skip


@pytest.fixture
def slot() -> Slot:
    return Slot(FakePredictor())


@pytest.fixture
def app(settings: Settings, slot: Slot) -> Iterator[FastAPI]:
    app = create_app(settings, slot)
    yield app
    app.state.service.close()


@pytest.fixture
def client(app: FastAPI) -> Client:
    return Client(app)
