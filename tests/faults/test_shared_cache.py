"""Two workers follow one alias and fetch into one folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from crimeguard.registry.bundle import verify
from crimeguard.registry.life import promote, rollback
from crimeguard.settings import Settings
from crimeguard.train.params import Params
from tests.faults.served import INCIDENT, missing, served
from tests.faults.test_worker_processes import Callers, all_up, until
from tests.registry.versions import ACTOR, judged, sitting


def served_by_all(address: str, sha256: str) -> bool:
    """Ask on new connections, so that both are met: whether all answer from one bundle."""
    for _ in range(20):
        answer = httpx.post(f"{address}/predict", json=INCIDENT, timeout=60)
        # One that has only just begun has nothing to answer with yet.
        if not answer.is_success or answer.json()["model_info"]["sha256"] != sha256:
            return False
    return True


@pytest.mark.slow
def test_both_change_over_and_what_is_in_the_cache_is_whole(
    three_versions: Path, use_home: Callable[[Path], Settings], tiny_params: Params
) -> None:
    settings = replace(use_home(three_versions), workers=2, follow_seconds=0.2)
    cache = settings.home / "bundles" / "served"
    with sitting(settings, tiny_params) as court:
        old, new = (court.registry.sha256_of(number) for number in "12")
        with served(None, settings) as running:
            all_up(running)
            until(lambda: served_by_all(running.address, old), "version 1")
            with Callers(running.address) as callers:
                promote(court, "2", judged(court, "2"), ACTOR)
                until(lambda: served_by_all(running.address, new), "version 2")
                rollback(court, ACTOR)
                until(lambda: served_by_all(running.address, old), "version 1 again")
                callers.go_on()
            assert callers.statuses == {200}
            assert callers.broken == 0
            found = {verify(folder)[1] for folder in cache.iterdir() if folder.is_dir()}
            assert found == {old, new}
            # No half of a download is left, and the note names what is served.
            names = {item.name for item in cache.iterdir() if not item.is_dir()}
            assert names == {"serving.json", ".follow.lock", ".fetch.lock"}
            assert json.loads((cache / "serving.json").read_text())["sha256"] == old
    assert running.process.returncode == 0
    assert "Traceback" not in running.errors
    assert missing(settings, callers.acknowledged) == set()
