from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crimeguard.registry.judging import Court
from crimeguard.settings import Settings
from crimeguard.train.params import Params
from tests.registry.versions import sitting


@pytest.fixture
def court(
    three_versions: Path, use_home: Callable[[Path], Settings], tiny_params: Params
) -> Iterator[Court]:
    """A court over version 1 in production, 2 registered and 3 in staging."""
    with sitting(use_home(three_versions), tiny_params) as court:
        yield court
