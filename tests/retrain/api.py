"""An API to be probed: the real app behind a real uvicorn, and what may be wrong with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.incident import Incident
from crimeguard.domain.prediction import Prediction
from crimeguard.registry.bundle import Bundle
from crimeguard.serve.app import create_app
from crimeguard.serve.predictor import Predictor
from crimeguard.serve.server import address_of, bind
from crimeguard.serve.slot import Slot
from crimeguard.settings import Settings


@contextmanager
def listening(app: Any) -> Iterator[str]:
    """Serve an app on a free port, and give its address."""
    listener = bind("127.0.0.1", 0)
    config = uvicorn.Config(app, log_config=None, access_log=False, ws="none", lifespan="auto")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield address_of(listener)
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        listener.close()
        assert not thread.is_alive()


@contextmanager
def serving(slot: Slot, home: Path) -> Iterator[str]:
    """Serve the real API from a slot."""
    with listening(create_app(Settings(home=home), slot)) as url:
        yield url


class Changed(Predictor):
    """Answers like its bundle, and then something is done to the answer."""

    def predict(self, incidents: Sequence[Incident]) -> list[Prediction]:
        return [self.change(item) for item in super().predict(incidents)]

    def change(self, prediction: Prediction) -> Prediction:
        raise NotImplementedError


class Shifted(Changed):
    """Moves probability from the first category to the last; the sum stays 1."""

    by = 2e-4

    def change(self, prediction: Prediction) -> Prediction:
        row = dict(prediction.probabilities)
        row[CATEGORIES[0]] -= self.by
        row[CATEGORIES[-1]] += self.by
        return replace(prediction, probabilities=row)


class Rounded(Shifted):
    """Differs by less than another machine may."""

    by = 5e-6


class OtherCategory(Changed):
    """Names its least probable category."""

    def change(self, prediction: Prediction) -> Prediction:
        row = prediction.probabilities
        return replace(prediction, category=min(row, key=lambda name: row[name]))


class Scaled(Changed):
    """Its probabilities are not of one incident."""

    def change(self, prediction: Prediction) -> Prediction:
        row = {name: 1.00001 * value for name, value in prediction.probabilities.items()}
        return replace(prediction, probabilities=row)


class NotNumbers(Changed):
    """Its probabilities are none; JSON has no word for that but null."""

    def change(self, prediction: Prediction) -> Prediction:
        return replace(prediction, probabilities=dict.fromkeys(CATEGORIES, float(np.nan)))


class OneTooMany(Changed):
    """There is a category that nobody knows."""

    def change(self, prediction: Prediction) -> Prediction:
        row = {**prediction.probabilities, "unheard_of": 0.0}
        return replace(prediction, probabilities=row)


class Failing(Changed):
    """Answers HTTP 500."""

    def change(self, prediction: Prediction) -> Prediction:
        raise RuntimeError("secret words of a library")


class Unlike(Changed):
    """Is right alone for the first of the golden rows."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self._asked = 0

    def change(self, prediction: Prediction) -> Prediction:
        self._asked += 1
        if self._asked == 1:
            return prediction
        return replace(prediction, probabilities=dict.fromkeys(CATEGORIES, 1 / len(CATEGORIES)))


class Watched:
    """An app before another: the paths that were asked for, and what is done at each."""

    def __init__(self, app: Any, asked: Callable[[list[str]], None] = lambda _: None) -> None:
        self.paths: list[str] = []
        self._app = app
        self._asked = asked

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            self.paths.append(scope["path"])
            self._asked(self.paths)
        await self._app(scope, receive, send)


@contextmanager
def watching(
    slot: Slot, home: Path, asked: Callable[[list[str]], None] = lambda _: None
) -> Iterator[tuple[str, list[str]]]:
    """Serve the real API from a slot, and give the paths that it has been asked for so far."""
    app = Watched(create_app(Settings(home=home), slot), asked)
    with listening(app) as url:
        yield url, app.paths


class Clock:
    """A clock that only sleeping moves, in place of the module `time`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept = 0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += 1
