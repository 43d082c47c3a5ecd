"""A kernel of this run's own, whatever lies in the package."""

from pathlib import Path

import pytest

from crimeguard.native.build import build, compiler
from crimeguard.native.library import target


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a freshly compiled library; the test is skipped where there is no compiler."""
    if compiler() is None:
        pytest.skip("there is no C compiler")
    folder = tmp_path_factory.mktemp("native")
    said = build(folder)
    assert said == f"The kernel is compiled: {target(folder).name}."
    return target(folder)
