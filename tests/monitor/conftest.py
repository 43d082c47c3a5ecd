from __future__ import annotations

import polars as pl
import pytest

from crimeguard.monitor.observed import Observed
from crimeguard.registry.bundle import Bundle
from crimeguard.train.params import Params
from tests.monitor import windows


@pytest.fixture(scope="session")
def history() -> pl.DataFrame:
    """Return what the champion is made from."""
    return windows.simulated(windows.HISTORY, 1, windows.FIRST, windows.TEST_UNTIL)


@pytest.fixture(scope="session")
def champion(
    history: pl.DataFrame, tiny_params: Params, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    """Train once a session; not to be changed."""
    return windows.make_champion(history, tiny_params, tmp_path_factory.mktemp("champion"))


@pytest.fixture(scope="session")
def quiet_frame() -> pl.DataFrame:
    """Two weeks in which nothing has changed."""
    return windows.window(11)


@pytest.fixture(scope="session")
def quiet(champion: Bundle, quiet_frame: pl.DataFrame) -> Observed:
    """The same with the champion's answers, on full reports; not to be changed."""
    return windows.observe(champion, quiet_frame)
