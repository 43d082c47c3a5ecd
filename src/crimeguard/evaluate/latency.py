"""How long one answer takes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import numpy as np

from crimeguard.features.columns import Columns, Floats
from crimeguard.train.model import Model

ANSWERS: Final = 80  # a round, of each model
ROUNDS: Final = 4
WARM_UP: Final = 20


def median_milliseconds(models: Sequence[Model], columns: Columns) -> list[float]:
    """Return each model's median time for one incident by itself, with its prediction set.

    The models take turns, so that whatever else the machine does slows them alike, and the
    least median of several rounds counts: other work only ever adds to it.
    """
    _turns(models, columns, WARM_UP)
    rounds = [np.median(_turns(models, columns, ANSWERS), axis=0) for _ in range(ROUNDS)]
    return [float(least) * 1000 for least in np.min(rounds, axis=0)]


def _turns(models: Sequence[Model], columns: Columns, answers: int) -> Floats:
    """Time answers in seconds, shape (answers, models); each turn begins with another model."""
    taken = np.empty((answers, len(models)))
    for turn in range(answers):
        place = turn % len(columns)
        row = columns.rows(place, place + 1)
        for step in range(len(models)):
            which = (turn + step) % len(models)
            begin = time.perf_counter()
            models[which].prediction_sets(models[which].probabilities(row), row)
            taken[turn, which] = time.perf_counter() - begin
    return taken
