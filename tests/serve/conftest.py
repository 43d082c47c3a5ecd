from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from fastapi import FastAPI

from crimeguard.serve.app import create_app
from crimeguard.serve.slot import Slot
from crimeguard.settings import Settings
from tests.serve.fakes import Client, FakePredictor

TINY = {
    "threads": 1,
    "features": {"min_count": 20, "mo_columns": 20},
    "linear": {"iterations": 8},
    "xgboost": {"rounds": 3},
    "lightgbm": {"rounds": 3},
}


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


@pytest.fixture(scope="session")
def exported() -> pl.DataFrame:
    """Return simulated rows in the portal's form."""
    from crimeguard.ingest.simulator import simulate

    return pl.concat(simulate(2_500, seed=3, start=dt.date(2023, 1, 1), end=dt.date(2023, 2, 28)))


@pytest.fixture(scope="session")
def tiny_bundle(exported: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a real bundle that is too small to be any good."""
    from crimeguard.ingest.frame import canonical
    from crimeguard.registry.bundle import write_bundle
    from crimeguard.registry.golden import golden_answers
    from crimeguard.train.fit import fit_model
    from crimeguard.train.params import params_from_dict

    frame = canonical(exported).require_clean("the simulated rows")
    model = fit_model(frame, dt.date(2023, 2, 28), params_from_dict(TINY, source="the test"))
    folder = tmp_path_factory.mktemp("bundles")
    card = {"summary": "Too small to be any good."}
    return write_bundle(model, folder, card=card, golden=golden_answers(model)).path
