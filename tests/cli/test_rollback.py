from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from crimeguard.registry.life import promote
from crimeguard.registry.store import PRODUCTION, Registry, open_registry
from crimeguard.settings import Settings
from crimeguard.train.params import Params
from tests.cli.world import crimeguard, refused
from tests.registry.versions import ACTOR, judged, sitting


@pytest.fixture
def registry(
    three_versions: Path, use_home: Callable[[Path], Settings], tiny_params: Params
) -> Registry:
    """Versions 1, 3 and 2 one after the other in production."""
    settings = use_home(three_versions)
    with sitting(settings, tiny_params) as court:
        for number in ("3", "2"):
            promote(court, number, judged(court, number), ACTOR)
    return open_registry(settings)


def test_it_goes_one_back_and_then_another(registry: Registry) -> None:
    told = crimeguard("rollback", "--why", "robbery is far too frequent")
    assert (told.code, told.out) == (0, "")
    assert "version 3 is in production again instead of version 2" in told.err
    assert registry.version_of(PRODUCTION) == "3"
    again = crimeguard("rollback", "--json")
    assert json.loads(again.out) == {"version": "1", "stage": "production", "replaced": "3"}
    refused(crimeguard("rollback", "--json"), 1, "no version to go back to", "--to N")
    assert registry.version_of(PRODUCTION) == "1"
    lines = json.loads(crimeguard("history", "--kind", "rollback", "--json").out)
    assert [(line["evidence"]["version"], line["why"]) for line in lines] == [
        ("3", "robbery is far too frequent"), ("1", "by hand"),
    ]  # fmt: skip
    assert all("@" in line["who"] for line in lines)


def test_a_version_can_be_named(registry: Registry) -> None:
    assert json.loads(crimeguard("rollback", "--to", "1", "--json").out)["replaced"] == "2"
    refused(crimeguard("rollback", "--to", "9"), 1, "no version 9")
    assert registry.version_of(PRODUCTION) == "1"


def test_what_was_never_in_production_is_for_promote(
    three_versions: Path, use_home: Callable[[Path], Settings]
) -> None:
    registry = open_registry(use_home(three_versions))
    refused(crimeguard("rollback", "--to", "3"), 1, "never been in production",
            "crimeguard promote")  # fmt: skip
    assert registry.version_of(PRODUCTION) == "1"
