from __future__ import annotations

from dataclasses import replace

import pytest

from crimeguard.evaluate.gate import Case
from crimeguard.train.fit import fit_model
from tests.evaluate.cases import contender, make_case, make_split, params


@pytest.fixture(scope="session")
def healthy() -> Case:
    """A challenger and a champion that differ by their seeds only; every gate passes."""
    split, mine = make_split(11_000, seed=5), params()
    challenger = fit_model(split.train, split.train_until, mine)
    champion = fit_model(split.train, split.train_until, replace(mine, seed=7))
    last = split.train_until
    return make_case(
        contender("challenger", challenger, last), contender("champion", champion, last),
        split.train, split.test, mine,
    )  # fmt: skip
