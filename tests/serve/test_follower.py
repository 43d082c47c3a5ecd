from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from crimeguard.domain.errors import BundleError, RegistryError
from crimeguard.serve.follower import Follower
from crimeguard.serve.slot import Predicts, Slot
from tests.serve.fakes import FakePredictor, FakeRegistry


class Bench:
    """A follower with a fake registry; bundles of a version in `bad` do not verify."""

    def __init__(self, cache: Path, registry: FakeRegistry | None = None) -> None:
        self.slot = Slot()
        self.registry = registry or FakeRegistry()
        self.bad: set[str] = set()
        self.follower = Follower(
            self.slot, connect=lambda: self.registry, load=self.load, cache=cache, every=0.01
        )

    def load(self, path: Path) -> Predicts:
        version = path.name.removeprefix("v")
        if version in self.bad or not path.is_dir():
            raise BundleError("It is damaged.")
        return FakePredictor(version)

    @property
    def state(self) -> str:
        return self.follower.state.state

    @property
    def served(self) -> str | None:
        return None if self.slot.current is None else self.slot.current.bundle.version


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "bundles")


def test_an_empty_registry_serves_nothing(bench: Bench) -> None:
    bench.follower.look()
    assert bench.served is None
    assert bench.state == "empty"


def test_it_follows_the_alias(bench: Bench) -> None:
    for version in ("1", "2", "1"):
        bench.registry.version = version
        bench.follower.look()
        assert bench.served == version
        assert bench.state == "following"
        assert bench.follower.state.version == version


def test_the_same_version_is_fetched_once(bench: Bench) -> None:
    bench.registry.version = "1"
    for _ in range(3):
        bench.follower.look()
    assert bench.registry.fetched == ["1"]


@pytest.mark.parametrize("failure", [RegistryError("down"), OSError("what a client throws")])
def test_a_registry_that_is_down_changes_nothing(bench: Bench, failure: Exception) -> None:
    bench.registry.version = "1"
    bench.follower.look()
    bench.registry.failure = failure
    bench.follower.look()
    assert bench.served == "1"
    assert bench.state == "unreachable"
    bench.registry.failure = None
    bench.follower.look()
    assert bench.state == "following"


def test_what_stays_wrong_is_said_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.registry.failure = RegistryError("It is down.")
    for _ in range(3):
        bench.follower.look()
    bench.registry.failure = None
    bench.follower.look()
    bench.registry.failure = RegistryError("It is down.")
    bench.follower.look()
    assert caplog.text.count("It is down.") == 2


def test_a_bundle_that_does_not_verify_is_not_served_nor_fetched_again_at_once(
    bench: Bench,
) -> None:
    bench.registry.version = "1"
    bench.follower.look()
    bench.registry.version, bench.bad = "2", {"2"}
    for _ in range(3):
        bench.follower.look()
        assert bench.served == "1"
        assert bench.state == "refused"
    assert bench.registry.fetched == ["1", "2"]
    bench.registry.version = "3"
    bench.follower.look()
    assert bench.served == "3"


def test_a_refused_bundle_gets_another_chance(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.registry.version, bench.bad = "2", {"2"}
    bench.follower.look()
    bench.bad.clear()
    later = time.monotonic() + 3600
    monkeypatch.setattr(time, "monotonic", lambda: later)
    bench.follower.look()
    assert bench.served == "2"


def test_a_restart_serves_the_last_bundle_before_the_registry_answers(
    bench: Bench, tmp_path: Path
) -> None:
    bench.registry.version = "5"
    bench.follower.look()
    again = Bench(tmp_path / "bundles")
    again.registry.failure = RegistryError("down")
    again.follower.restore()
    assert again.served == "5"
    again.follower.look()
    assert again.served == "5"
    assert again.follower.state.version == "5"


def test_a_restart_does_not_fetch_what_it_has(bench: Bench, tmp_path: Path) -> None:
    bench.registry.version = "5"
    bench.follower.look()
    again = Bench(tmp_path / "bundles", FakeRegistry("5"))
    again.follower.restore()
    again.follower.look()
    assert again.registry.fetched == []


def test_a_cached_bundle_that_was_changed_is_not_served(bench: Bench, tmp_path: Path) -> None:
    bench.registry.version = "5"
    bench.follower.look()
    note = tmp_path / "bundles" / "serving.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "sha256": "0" * 64}))
    again = Bench(tmp_path / "bundles")
    again.follower.restore()
    assert again.served is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"folder": 1}'])
def test_a_damaged_note_is_no_obstacle(bench: Bench, tmp_path: Path, text: str) -> None:
    cache = tmp_path / "bundles"
    cache.mkdir()
    (cache / "serving.json").write_text(text)
    bench.follower.restore()
    assert bench.served is None
    bench.registry.version = "1"
    bench.follower.look()
    assert bench.served == "1"


def test_old_bundles_are_removed_but_only_those_it_fetched(bench: Bench, tmp_path: Path) -> None:
    foreign = tmp_path / "bundles" / "trained-by-hand"
    foreign.mkdir(parents=True)
    for version in "1234":
        bench.registry.version = version
        bench.follower.look()
    folders = {path.name for path in (tmp_path / "bundles").iterdir() if path.is_dir()}
    assert folders == {"trained-by-hand", "v3", "v4"}


def test_the_thread_starts_follows_and_stops(bench: Bench) -> None:
    bench.registry.version = "1"
    bench.follower.start()
    try:
        _until(lambda: bench.served == "1")
        bench.registry.version = "2"
        _until(lambda: bench.served == "2")
    finally:
        bench.follower.stop()
    bench.registry.version = "3"
    time.sleep(0.05)
    assert bench.served == "2"


def _until(condition: object) -> None:
    assert callable(condition)
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it did not come about in 30 seconds"
        time.sleep(0.005)
