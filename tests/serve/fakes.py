"""Stand-ins for what takes training to make; they satisfy the protocols of serve/slot.py."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import numpy as np
from fastapi import FastAPI
from numpy.typing import NDArray

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.incident import Incident
from crimeguard.domain.level import InformationLevel
from crimeguard.domain.prediction import Prediction
from crimeguard.features.columns import Columns, Floats


class FakeModel:
    """Everything at or above 0.1 belongs to the prediction set."""

    def prediction_sets(self, probabilities: Floats, columns: Columns) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = probabilities >= 0.1
        inside[np.arange(len(columns)), probabilities.argmax(axis=1)] = True
        return inside


class FakeBundle:
    """A bundle of nothing but a name."""

    name = "crimeguard"
    card: Mapping[str, Any] = {"summary": "A stand-in for tests."}
    path = Path("nowhere")
    model = FakeModel()

    def __init__(self, version: str = "1") -> None:
        self.version = version
        self.sha256 = version.zfill(64)


class FakePredictor:
    """Looks at the area and whether a weapon is known, and is sure to 0.8 of its answer."""

    def __init__(self, version: str = "1") -> None:
        self._bundle = FakeBundle(version)

    @property
    def bundle(self) -> FakeBundle:
        return self._bundle

    def predict(self, incidents: Sequence[Incident]) -> list[Prediction]:
        columns = Columns.from_incidents(incidents)
        table = self.predict_columns(columns)
        inside = self.bundle.model.prediction_sets(table, columns)
        return [_prediction(*row) for row in zip(table, inside, columns.level, strict=True)]

    def predict_columns(self, columns: Columns) -> Floats:
        best = (columns.area + 7 * (columns.weapon_used_cd >= 0)) % len(CATEGORIES)
        table = np.full((len(columns), len(CATEGORIES)), 0.2 / (len(CATEGORIES) - 1))
        table[np.arange(len(columns)), best] = 0.8
        return table


def _prediction(row: Floats, inside: NDArray[np.bool_], level: int) -> Prediction:
    order = (-row).argsort(kind="stable")
    return Prediction(
        CATEGORIES[order[0]], float(row[order[0]]),
        dict(zip(CATEGORIES, row.tolist(), strict=True)),
        tuple(CATEGORIES[place] for place in order if inside[place]), InformationLevel(level),
    )  # fmt: skip


class BrokenPredictor(FakePredictor):
    """Fails with words that no caller may see."""

    def predict(self, incidents: Sequence[Incident]) -> list[Prediction]:
        raise RuntimeError("secret words of a library")


class WaitingPredictor(FakePredictor):
    """Scores a batch only when it is let."""

    def __init__(self, version: str = "1") -> None:
        super().__init__(version)
        self.entered = Event()
        self.let = Event()

    def predict_columns(self, columns: Columns) -> Floats:
        self.entered.set()
        assert self.let.wait(10)
        return super().predict_columns(columns)


class FakeRegistry:
    """One alias and the folders behind its versions."""

    def __init__(self, version: str | None = None) -> None:
        self.version = version
        self.fetched: list[str] = []
        self.failure: Exception | None = None

    def version_of(self, alias: str) -> str | None:
        assert alias == "production"
        if self.failure is not None:
            raise self.failure
        return self.version

    def fetch(self, alias: str, into: Path) -> Path | None:
        if self.version is None:
            return None
        self.fetched.append(self.version)
        folder = into / f"v{self.version}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder


class Client:
    """Asks an app in process, without a port; every request gets a loop of its own."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._request(method, path, **options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **options)
