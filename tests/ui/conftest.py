from collections.abc import Iterator

import pytest

from tests.ui.fake_api import FakeApi, running


@pytest.fixture
def fake_api() -> Iterator[FakeApi]:
    with running() as fake:
        yield fake
