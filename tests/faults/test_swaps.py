"""Bundles change under load: nobody is turned away, and each answer is one bundle's own."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from crimeguard.pipeline import Trained
from tests.faults.swapping import expected, swap_under_load
from tests.registry.versions import other_bundle


@pytest.mark.slow
def test_fifty_swaps_under_load_fail_no_request(trained: Trained, tmp_path: Path) -> None:
    leans = (0.0, 1.0, -1.0)
    bundles = [other_bundle(trained, tmp_path / "b", f"{n}", lean=n).path for n in leans]
    own = expected(bundles)
    assert all(one != other for one, other in pairwise(own.values()))
    met = swap_under_load(tmp_path / "home", bundles, 50)
    assert met.failed == []
    assert met.wrong == []
    assert set(met.answers) == set(own)
    assert sum(met.answers.values()) > 150
    # The one that is loaded, the one in service, and one that answers its last requests.
    assert met.most_live <= 3
    cached = {item.name for item in (tmp_path / "home" / "bundles" / "served").glob("v*")}
    assert len(cached) == 2
