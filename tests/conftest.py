import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of the real Los Angeles rows; the test is skipped where there is none."""
    folder = Path(os.environ.get("CRIMEGUARD_REALDATA", ""))
    if "CRIMEGUARD_REALDATA" not in os.environ or not folder.is_dir():
        pytest.skip("CRIMEGUARD_REALDATA does not name the folder of the real rows")
    return folder
