from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from crimeguard.domain.errors import BundleError, DataError
from crimeguard.ingest.snapshot import Snapshot
from crimeguard.records.database import open_database
from crimeguard.records.ledger import Ledger
from crimeguard.registry.lineage import Sight, lineage, snapshots_known, who_saw
from crimeguard.registry.store import Registry, Run, Version, open_registry
from crimeguard.settings import Settings
from tests.ingest.test_pointer import KNOWN
from tests.ingest.test_snapshot import incidents, write

Homes = Callable[[Path], Settings]


@contextmanager
def ledger_of(settings: Settings) -> Iterator[Ledger]:
    database = open_database(settings)
    try:
        yield Ledger(database)
    finally:
        database.close()


def sights(settings: Settings) -> list[Sight]:
    known = snapshots_known(settings.home, settings.home / "pointers")
    with ledger_of(settings) as ledger:
        return lineage(open_registry(settings), ledger, settings.home / "bundles", known)


def test_every_version_tells_by_its_card_what_it_saw(three_versions: Path, use_home: Homes) -> None:
    settings = use_home(three_versions)
    snapshot = Snapshot.load(next((settings.home / "snapshots").iterdir()))
    idle = write(incidents(), settings.home)
    told = sights(settings)
    assert [item.version for item in told] == ["3", "2", "1"]
    assert [item.stage for item in told] == ["Staging", "Staging", "Production"]
    assert [item.aliases for item in told] == [("staging",), (), ("production",)]
    registry = open_registry(settings)
    for item in told:
        # Versions 2 and 3 have runs that say nothing: the card does.
        assert item.told_by == "card"
        assert item.version is not None
        assert item.bundle == registry.sha256_of(item.version)
        assert item.snapshot is not None
        assert item.snapshot.to_dict() == {
            "id": snapshot.id, "where": "here", "source": "tests", "rows": snapshot.rows,
            "content_sha256": snapshot.manifest["content_sha256"], "first_month": "2023-01",
            "last_month": "2023-02", "months": 2, "quarantined": 0,
        }  # fmt: skip
        assert 0 < item.trained["rows"] < snapshot.rows
    # The other way round.
    known = snapshots_known(settings.home, settings.home)
    one, saw = who_saw(told, known, snapshot.id[:5])
    assert (one.id, saw) == (snapshot.id, told)
    assert who_saw(told, known, idle.id) == (known[idle.id], [])
    for named in ("zz", ""):
        with pytest.raises(DataError, match="0 snapshots that begin with") as refused:
            who_saw(told, known, named)
        assert snapshot.id in refused.value.why


class Stored:
    """A registry of one version, whose bundle is a folder or cannot be had."""

    def __init__(self, version: Version, folder: Path | None) -> None:
        self._version, self._folder = version, folder

    def versions(self) -> list[Version]:
        return [self._version]

    def fetch_version(self, number: str, into: Path) -> Path:
        if self._folder is None:
            raise BundleError("There is no such bundle.")
        return self._folder


@pytest.fixture
def version(promoted_home: Path, use_home: Homes) -> tuple[Settings, Version]:
    settings = use_home(promoted_home)
    return settings, open_registry(settings).versions()[0]


def one_sight(settings: Settings, registry: object) -> Sight:
    known = snapshots_known(settings.home, settings.home / "pointers")
    assert registry is None or isinstance(registry, Registry | Stored)
    with ledger_of(settings) as ledger:
        (sight,) = lineage(registry, ledger, settings.home / "bundles", known)  # type: ignore[arg-type]
    return sight


def test_the_card_is_believed_before_the_run_and_the_run_where_there_is_no_bundle(
    version: tuple[Settings, Version],
) -> None:
    settings, stored = version
    assert stored.snapshot  # a run of ours says it
    lying = replace(stored, snapshot="f" * 16)
    folder = open_registry(settings).fetch_version("1", into=settings.home / "bundles")
    by_card = one_sight(settings, Stored(lying, folder))
    assert (by_card.told_by, by_card.snapshot and by_card.snapshot.id) == ("card", stored.snapshot)
    by_run = one_sight(settings, Stored(lying, None))
    assert by_run.told_by == "run"
    assert by_run.snapshot is not None
    assert (by_run.snapshot.id, by_run.snapshot.where) == ("f" * 16, "gone")
    nobody = one_sight(settings, Stored(replace(stored, snapshot=""), None))
    assert nobody.snapshot is None
    json.dumps([item.to_dict() for item in (by_card, by_run, nobody)])


def test_a_training_that_was_never_registered_is_told_by_the_ledger(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    kept = write(incidents(), tmp_path)
    with ledger_of(settings) as ledger:
        ledger.append("training", subject="a" * 64, who="policy", why="drift", evidence={
            "snapshot": kept.id, "train_until": "2023-01-31", "rows": 80,
        })  # fmt: skip
    told = one_sight(settings, None)
    assert (told.version, told.bundle, told.told_by) == (None, "a" * 64, "ledger")
    assert told.stage == "Never registered"
    assert told.snapshot is not None
    assert told.snapshot.id == kept.id
    assert told.trained == {"last": "2023-01-31", "rows": 80}


def test_a_training_that_was_registered_is_told_once(
    version: tuple[Settings, Version],
) -> None:
    settings, stored = version
    with ledger_of(settings) as ledger:
        ledger.append("training", subject=stored.sha256, who="policy", why="drift", evidence={})
    assert [item.version for item in sights(settings)] == ["1"]


def test_a_snapshot_elsewhere_is_known_by_its_pointer(tmp_path: Path) -> None:
    KNOWN.write(tmp_path / "pointers")
    kept = write(incidents(), tmp_path)
    known = snapshots_known(tmp_path, tmp_path / "pointers")
    assert known.keys() == {KNOWN.snapshot, kept.id}
    assert (known[KNOWN.snapshot].where, known[KNOWN.snapshot].rows) == ("pointer", None)
    assert known[KNOWN.snapshot].content_sha256 == "b" * 64
    shutil.rmtree(kept.path)
    assert snapshots_known(tmp_path, tmp_path / "none") == {}


def test_what_a_run_says_is_in_the_registry(
    empty_home: Path, use_home: Homes, trained: object
) -> None:
    from crimeguard.pipeline import Trained

    assert isinstance(trained, Trained)
    registry = open_registry(use_home(empty_home))
    registry.register(trained.bundle, Run({}, {}, {"snapshot": "0123456789abcdef"}))
    registry.register(trained.bundle, Run({}, {}, {}))
    assert [item.snapshot for item in registry.versions()] == ["", "0123456789abcdef"]
