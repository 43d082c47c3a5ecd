from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crimeguard.domain.errors import BundleError, RecordsError, RegistryError
from crimeguard.records.database import open_database
from crimeguard.records.ledger import Ledger
from crimeguard.registry import experiments
from crimeguard.registry.contest import Wanted
from crimeguard.serve.slot import Predicts, Slot
from crimeguard.serve.traffic import Traffic, draw
from crimeguard.settings import Settings
from tests.registry.contests import FakeVersions, started
from tests.serve.fakes import FakePredictor

KEYS = [str(number) for number in range(231_200_000, 231_220_000)]


class Bench:
    """Traffic with a fake registry; bundles of a version in `bad` do not verify."""

    def __init__(self, home: Path, wanted: Wanted | None = None) -> None:
        self.database = open_database(Settings(home=home))
        self.ledger = Ledger(self.database)
        self.slot = Slot(FakePredictor("1"))
        self.registry = FakeVersions()
        self.bad: set[str] = set()
        self.loaded: str | None = None
        self.traffic = Traffic(
            self.slot, self.ledger, connect=lambda: self.registry, load=self.load,
            cache=home / "challengers", every=0.01, wanted=wanted,
        )  # fmt: skip

    def load(self, path: Path) -> Predicts:
        version = path.name.removeprefix("v")
        if version in self.bad:
            raise BundleError("It is damaged.")
        return FakePredictor(self.loaded or version)

    @property
    def state(self) -> str:
        return self.traffic.state.state

    def variants(self, keys: list[str] = KEYS) -> list[str]:
        champion = self.slot.require()
        return [self.traffic.assign(champion, key).variant for key in keys]

    def events(self) -> list[str]:
        return [line.evidence["event"] for line in self.ledger.entries("experiment")]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.database.close()


def test_without_an_experiment_the_champion_answers_everything(bench: Bench) -> None:
    bench.traffic.look()
    assert bench.state == "none"
    champion = bench.slot.require()
    assert bench.traffic.assign(champion, "7") == ("champion", champion, None)
    assert bench.traffic.shadow() is None
    assert bench.registry.fetched == []


def test_a_service_without_a_ledger_has_no_experiments() -> None:
    slot = Slot(FakePredictor())
    traffic = Traffic(slot)
    traffic.start()
    traffic.look()
    assert traffic.assign(slot.require(), "7").variant == "champion"
    with pytest.raises(RegistryError):
        traffic.registry()
    traffic.close()


def test_without_a_folder_of_its_own_it_touches_no_file(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    (here / "src").mkdir(parents=True)
    monkeypatch.chdir(here)
    started(bench.ledger)
    traffic = Traffic(bench.slot, bench.ledger, connect=lambda: bench.registry, load=bench.load)
    traffic.look()
    assert traffic.state.state == "unreachable"
    assert bench.registry.fetched == []
    assert [item.name for item in here.iterdir()] == ["src"]


def test_what_lies_beside_a_challenger_stays(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "challengers" / "of-somebody-else").mkdir(parents=True)
    started(bench.ledger)
    bench.traffic.look()
    assert bench.state == "running"
    left = {item.name for item in (tmp_path / "challengers").iterdir() if item.is_dir()}
    assert left == {"of-somebody-else", "v2"}


def test_a_shadow_is_scored_beside_and_never_answers(bench: Bench) -> None:
    begun = started(bench.ledger)
    bench.traffic.look()
    assert bench.state == "running"
    assert set(bench.variants()) == {"champion"}
    assigned = bench.traffic.assign(bench.slot.require(), "7")
    assert assigned.experiment == begun.id
    beside = bench.traffic.shadow()
    assert beside is not None
    assert (beside.variant, beside.experiment) == ("shadow", begun.id)
    assert beside.predictor.bundle.version == "2"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_split_sends_its_share_and_the_same_ones_again(bench: Bench, share: float) -> None:
    begun = started(bench.ledger, "split", share)
    bench.traffic.look()
    first = bench.variants()
    sent = sum(variant == "challenger" for variant in first)
    error = math.sqrt(len(KEYS) * share * (1 - share))
    assert abs(sent - share * len(KEYS)) < 5 * error
    assert bench.variants() == first
    assert bench.traffic.shadow() is None
    key = KEYS[first.index("challenger")]
    assigned = bench.traffic.assign(bench.slot.require(), key)
    assert assigned.predictor.bundle.version == "2"
    assert assigned.experiment == begun.id


def test_another_process_sends_the_same_ones(bench: Bench, tmp_path: Path) -> None:
    started(bench.ledger, "split", 0.3)
    other = Bench(tmp_path)
    for each in (bench, other):
        each.traffic.look()
    assert bench.variants() == other.variants()
    other.database.close()


def test_two_experiments_draw_independently(bench: Bench) -> None:
    chosen = []
    for _ in range(2):
        started(bench.ledger, "split", 0.5)
        bench.traffic.look()
        chosen.append([variant == "challenger" for variant in bench.variants()])
        experiments.stop(bench.ledger, who="t", why="w")
        bench.traffic.look()
    same = sum(one == other for one, other in zip(*chosen, strict=True))
    assert abs(same - len(KEYS) / 2) < 5 * math.sqrt(len(KEYS) / 4)


def test_draws_are_even_and_take_any_text() -> None:
    tenths = [0] * 10
    for key in KEYS:
        tenths[draw("e" * 32, key) * 10 >> 64] += 1
    assert max(abs(count - len(KEYS) / 10) for count in tenths) < 5 * math.sqrt(len(KEYS) / 10)
    assert 0 <= draw("e" * 32, "\ud800\0") < 1 << 64
    assert draw("e" * 32, "1") != draw("f" * 32, "1")


def test_an_experiment_that_is_stopped_ends_here_too(bench: Bench) -> None:
    started(bench.ledger)
    bench.traffic.look()
    experiments.stop(bench.ledger, who="t", why="w")
    bench.traffic.look()
    assert bench.state == "none"
    assert bench.traffic.shadow() is None


def test_the_process_that_stops_it_does_not_wait_for_the_next_look(bench: Bench) -> None:
    begun = started(bench.ledger, "split", 0.5)
    bench.traffic.look()
    bench.traffic.end("f" * 32)
    assert "challenger" in bench.variants()
    bench.traffic.end(begun.id)
    assert set(bench.variants()) == {"champion"}
    bench.traffic.look()
    assert bench.state == "none"


def test_a_challenger_that_does_not_verify_is_refused_once_in_the_ledger(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.bad = {"2"}
    started(bench.ledger)
    # Long enough between looks that it is not tried again in between.
    bench.traffic._every = 3600
    for _ in range(4):
        bench.traffic.look()
        assert bench.state == "refused"
        assert bench.traffic.shadow() is None
    assert bench.registry.fetched == ["2"]
    assert bench.traffic.state.refused == 1
    assert bench.events() == ["started", "refused"]
    assert caplog.text.count("It is damaged.") == 1
    (refused,) = [item.refused for item in experiments.experiments(bench.ledger)]
    assert refused is not None
    assert refused.why == "It is damaged."


def test_a_refused_challenger_gets_another_chance(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.bad = {"2"}
    started(bench.ledger)
    bench.traffic.look()
    bench.bad = set()
    later = time.monotonic() + 3600
    monkeypatch.setattr(time, "monotonic", lambda: later)
    bench.traffic.look()
    assert bench.state == "running"


def test_another_bundle_under_the_same_version_is_refused(bench: Bench) -> None:
    bench.loaded = "3"
    started(bench.ledger)
    bench.traffic.look()
    assert bench.state == "refused"
    assert bench.traffic.shadow() is None


def test_a_challenger_that_cannot_be_fetched_is_told_once_and_tried_again(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    started(bench.ledger)
    bench.registry.failure = RegistryError("It is down.")
    for _ in range(3):
        bench.traffic.look()
        assert bench.state == "unreachable"
        assert set(bench.variants()) == {"champion"}
    assert bench.traffic.state.unreachable == 3
    assert bench.events() == ["started", "refused"]
    assert caplog.text.count("It is down.") == 1
    bench.registry.failure = None
    bench.traffic.look()
    assert bench.state == "running"


def test_a_fault_of_a_library_does_not_end_the_thread(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(bench.ledger)

    def fails(number: str, into: Path) -> Path:
        raise OSError("Directory not empty")

    monkeypatch.setattr(bench.registry, "fetch_version", fails)
    bench.traffic.look()
    assert bench.state == "unreachable"
    assert "the look at the experiment failed" in caplog.text


def test_a_ledger_that_cannot_be_read_changes_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(bench.ledger, "split", 0.5)
    bench.traffic.look()
    before = bench.variants()

    def fails(*_: object, **__: object) -> None:
        raise RecordsError("It is away.")

    monkeypatch.setattr(bench.ledger, "entries", fails)
    bench.traffic.look()
    assert bench.state == "unreachable"
    assert bench.variants() == before


def test_a_change_of_the_champion_stops_the_experiment(bench: Bench) -> None:
    started(bench.ledger, "split", 0.5)
    bench.traffic.look()
    bench.registry.production = "3"
    bench.slot.swap(FakePredictor("3"))
    assert set(bench.variants()) == {"champion"}  # before anybody has looked
    bench.traffic.look()
    assert bench.state == "none"
    (found,) = experiments.experiments(bench.ledger)
    assert found.stopped is not None
    assert found.stopped.why == "the champion changed: version 3 is in production"
    bench.traffic.look()
    assert bench.events() == ["started", "stopped"]


def test_the_challenger_going_into_production_ends_it_too(bench: Bench) -> None:
    started(bench.ledger)
    bench.traffic.look()
    bench.registry.production = "2"
    bench.slot.swap(FakePredictor("2"))
    bench.traffic.look()
    (found,) = experiments.experiments(bench.ledger)
    assert found.stopped is not None
    assert found.stopped.why == "the champion changed: the challenger is in production"


def test_a_process_that_is_behind_waits_and_stops_nothing(bench: Bench) -> None:
    bench.slot.swap(FakePredictor("3"))
    started(bench.ledger)
    for _ in range(2):
        bench.traffic.look()
        assert bench.state == "waiting"
    assert bench.events() == ["started"]
    bench.slot.swap(FakePredictor("1"))
    bench.traffic.look()
    assert bench.state == "running"


def test_with_nothing_in_service_it_waits(bench: Bench, tmp_path: Path) -> None:
    started(bench.ledger)
    bench.traffic = Traffic(Slot(), bench.ledger, connect=lambda: bench.registry, load=bench.load,
                            cache=tmp_path / "challengers")  # fmt: skip
    bench.traffic.look()
    assert bench.state == "waiting"


def test_what_is_configured_is_started_once(tmp_path: Path) -> None:
    for _ in range(2):  # two workers
        bench = Bench(tmp_path, Wanted("split", "2", 0.25))
        bench.traffic.look()
        assert bench.state == "running"
        bench.database.close()
    bench = Bench(tmp_path, Wanted("split", "2", 0.25))
    assert bench.events() == ["started"]
    (found,) = experiments.experiments(bench.ledger)
    assert found.started.why == "CRIMEGUARD_EXPERIMENT"
    assert found.contest.wanted.share == 0.25
    experiments.stop(bench.ledger, who="t", why="w")
    bench.traffic.look()
    bench.traffic.look()
    assert bench.events() == ["started", "stopped"]
    assert bench.state == "none"
    bench.database.close()


def test_a_configured_version_that_does_not_exist_is_no_obstacle(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(tmp_path, Wanted("shadow", "9"))
    for _ in range(2):
        bench.traffic.look()
        assert bench.state == "unreachable"
    assert caplog.text.count("There is no version 9") == 1
    assert set(bench.variants(KEYS[:5])) == {"champion"}
    bench.database.close()


def test_the_thread_follows_the_ledger(bench: Bench) -> None:
    bench.traffic.start()
    try:
        started(bench.ledger)
        _until(lambda: bench.state == "running")
        experiments.stop(bench.ledger, who="t", why="w")
        _until(lambda: bench.state == "none")
    finally:
        bench.traffic.close()


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it did not come about in 30 seconds"
        time.sleep(0.005)
