from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crimeguard.domain.errors import DataError
from crimeguard.ingest.snapshot import Snapshot
from crimeguard.pipeline import Trained
from crimeguard.records.database import open_database
from crimeguard.records.ledger import Ledger
from crimeguard.registry.lineage import Sight, lineage, snapshots_known, who_saw
from crimeguard.registry.store import Run, open_registry
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


def sights(settings: Settings, *, registered: bool = True) -> list[Sight]:
    known = snapshots_known(settings.home, settings.home / "pointers")
    registry = open_registry(settings) if registered else None
    with ledger_of(settings) as ledger:
        return lineage(registry, ledger, settings.home / "bundles", known)


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


def test_the_card_is_believed_before_the_run_and_the_run_where_there_is_no_bundle(
    empty_home: Path, use_home: Homes, trained: Trained
) -> None:
    settings = use_home(empty_home)
    registry = open_registry(settings)
    registry.register(trained.bundle, Run({}, {}, {"snapshot": "f" * 16}))
    registry.register(trained.bundle, Run({}, {}, {}))
    assert [item.snapshot for item in registry.versions()] == ["", "f" * 16]
    for item in sights(settings):
        assert item.told_by == "card"
        assert item.snapshot is not None
        assert (item.snapshot.id, item.snapshot.where) == (
            trained.bundle.card["data"]["snapshot"], "gone",
        )  # fmt: skip
    for lost in (settings.home / "bundles", settings.home / "mlflow" / "artifacts"):
        shutil.rmtree(lost)
    newest, oldest = sights(settings)
    assert (newest.told_by, newest.snapshot) == ("run", None)
    assert oldest.told_by == "run"
    assert oldest.snapshot is not None
    assert (oldest.snapshot.id, oldest.snapshot.where) == ("f" * 16, "gone")
    json.dumps([item.to_dict() for item in (newest, oldest)])


def test_a_training_that_was_never_registered_is_told_by_the_ledger(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    kept = write(incidents(), tmp_path)
    with ledger_of(settings) as ledger:
        ledger.append("training", subject="a" * 64, who="policy", why="drift", evidence={
            "snapshot": kept.id, "train_until": "2023-01-31", "rows": 80,
        })  # fmt: skip
    (told,) = sights(settings, registered=False)
    assert (told.version, told.bundle, told.told_by) == (None, "a" * 64, "ledger")
    assert told.stage == "Never registered"
    assert told.snapshot is not None
    assert told.snapshot.id == kept.id
    assert told.trained == {"last": "2023-01-31", "rows": 80}


def test_a_training_that_was_registered_is_told_once(
    promoted_home: Path, use_home: Homes, trained: Trained
) -> None:
    settings = use_home(promoted_home)
    with ledger_of(settings) as ledger:
        ledger.append("training", subject=trained.bundle.sha256, who="policy", why="drift",
                      evidence={})  # fmt: skip
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
