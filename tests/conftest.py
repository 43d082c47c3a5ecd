import datetime as dt
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

if TYPE_CHECKING:
    from crimeguard.pipeline import Trained
    from crimeguard.settings import Settings
    from crimeguard.train.params import Params

pytest_plugins = ["tests.native.fixtures", "tests.records.fixtures"]

# Too small to be any good, and trained in three seconds.
TINY = {
    "threads": 1,
    "features": {"min_count": 10, "mo_columns": 20},
    "linear": {"iterations": 10, "folds": 2},
    "xgboost": {"rounds": 4, "learning_rate": 0.3},
    "lightgbm": {"rounds": 4, "learning_rate": 0.2},
    "neural": {"units": 16, "epochs": 1, "seeds": 1},
    "checks": {"min_test_rows": 100, "max_ece": 0.4, "min_macro_auc": 0.6,
               "min_log_loss_gain": 0.01, "min_coverage": 0.6},
    # Two such models differ by chance, and a busy machine answers slowly.
    "gates": {"deepchecks": False, "resamples": 100, "max_loss": 0.2, "max_slice_loss": 0.5,
              "max_latency_ms": 1000, "max_latency_ratio": 50},
}  # fmt: skip
FIRST, LAST = dt.date(2023, 1, 1), dt.date(2023, 2, 28)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly what was not shown for want of a container engine."""
    skipped = [
        report for report in terminalreporter.stats.get("skipped", [])
        if "no container engine" in str(report.longrepr)
    ]  # fmt: skip
    if skipped:
        reason = skipped[0].longrepr[2]
        terminalreporter.section("NOT SHOWN: delivery by containers", red=True, bold=True)
        terminalreporter.line(f"{len(skipped)} tests did not run. {reason}")


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of the real Los Angeles rows; the test is skipped where there is none."""
    folder = Path(os.environ.get("CRIMEGUARD_REALDATA", ""))
    if "CRIMEGUARD_REALDATA" not in os.environ or not folder.is_dir():
        pytest.skip("CRIMEGUARD_REALDATA does not name the folder of the real rows")
    return folder


@pytest.fixture(autouse=True)
def _own_mlflow() -> None:
    """Forget MLflow's address: its client writes the last one into the environment."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        os.environ.pop(name, None)
    forget_artifacts()


@pytest.fixture(scope="session")
def exported() -> pl.DataFrame:
    """Return simulated rows in the portal's form."""
    from crimeguard.ingest.simulator import simulate

    return pl.concat(simulate(4_000, seed=3, start=FIRST, end=LAST))


@pytest.fixture(scope="session")
def incidents(exported: pl.DataFrame) -> pl.DataFrame:
    """Return the simulated rows as a canonical frame."""
    from crimeguard.ingest.frame import canonical

    return canonical(exported).require_clean("the simulated rows")


@pytest.fixture(scope="session")
def tiny_params() -> "Params":
    from crimeguard.train.params import params_from_dict

    return params_from_dict(TINY, source="the tests")


@pytest.fixture(scope="session")
def trained(
    incidents: pl.DataFrame, tiny_params: "Params", tmp_path_factory: pytest.TempPathFactory
) -> "Trained":
    """Train once a session, through the one way that there is."""
    from crimeguard import pipeline
    from crimeguard.ingest.snapshot import write_snapshot

    home = tmp_path_factory.mktemp("trained")
    return pipeline.train(write_snapshot(incidents, home, source="tests"), tiny_params, home)


@pytest.fixture(scope="session")
def tiny_bundle(trained: "Trained") -> Path:
    """A real bundle that is too small to be any good; not to be changed."""
    return trained.bundle.path


@pytest.fixture(scope="session")
def promoted_home(trained: "Trained", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CRIMEGUARD_HOME with version 1 in production; not to be changed.

    With its snapshot, in a real MLflow, and with the line in the ledger.
    """
    from crimeguard import pipeline
    from crimeguard.ingest.snapshot import Snapshot
    from crimeguard.records.database import open_database
    from crimeguard.records.ledger import Ledger
    from crimeguard.registry.judging import Actor
    from crimeguard.registry.life import Change, note
    from crimeguard.registry.store import open_registry
    from crimeguard.settings import Settings

    home = tmp_path_factory.mktemp("promoted") / "home"
    settings = Settings(home=home)
    registry = open_registry(settings)
    shutil.copytree(trained.bundle.path.parents[1] / "snapshots", home / "snapshots")
    snapshot = Snapshot.load(next((home / "snapshots").iterdir()))
    version = pipeline.register(trained, snapshot, registry)
    registry.promote(version)
    database = open_database(settings)
    change = Change(version, trained.bundle.sha256, None, None)
    note(Ledger(database), "promotion", change, Actor("tests", "the first"))
    database.close()
    return home


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CRIMEGUARD_HOME with an empty registry; not to be changed.

    MLflow takes seconds to make its tables.
    """
    from crimeguard.registry.store import open_registry
    from crimeguard.settings import Settings

    home = tmp_path_factory.mktemp("empty") / "home"
    assert not open_registry(Settings(home=home)).versions()
    return home


@pytest.fixture(scope="session")
def three_versions(
    promoted_home: Path, trained: "Trained", tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The promoted home with versions 2 and 3 besides; 3 is in staging. Not to be changed."""
    from crimeguard.settings import Settings
    from tests.registry.versions import add_versions

    folder = tmp_path_factory.mktemp("versions")
    copy_home(promoted_home, folder / "home")
    add_versions(Settings(home=folder / "home"), trained, folder / "bundles")
    return folder / "home"


@pytest.fixture
def use_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Callable[[Path], Settings]":
    """Return a function that makes a copy of a home the one in use."""
    from crimeguard.settings import Settings

    def use(original: Path) -> Settings:
        copy = tmp_path / "home"
        copy_home(original, copy)
        monkeypatch.setenv("CRIMEGUARD_HOME", str(copy))
        return Settings.load()

    return use


@pytest.fixture
def home(promoted_home: Path, use_home: "Callable[[Path], Settings]") -> "Callable[[], Settings]":
    """Return a function that makes a copy of the promoted home the one in use."""
    return lambda: use_home(promoted_home)


def copy_home(original: Path, copy: Path, *, at: Path | None = None) -> None:
    """Copy a CRIMEGUARD_HOME as a process that is killed now would leave it.

    `at` is where the home was when its MLflow was written, if that was another place.
    """
    import sqlite3
    from contextlib import closing

    shutil.copytree(original, copy, ignore=shutil.ignore_patterns("*.db", "*.db-*"))
    for file in original.rglob("*.db"):
        with (
            closing(sqlite3.connect(file)) as here,
            closing(sqlite3.connect(copy / file.relative_to(original))) as there,
        ):
            here.backup(there)
    _rebase(copy, at or original)
    forget_artifacts()


def forget_artifacts() -> None:
    """Forget where runs keep their files: MLflow's client remembers it by the run alone."""
    utils = sys.modules.get("mlflow.tracking._tracking_service.utils")
    if utils is not None:
        utils._artifact_repos_cache.clear()


def _rebase(copy: Path, original: Path) -> None:
    """Let a copied MLflow find its files: it keeps whole addresses."""
    import sqlite3
    from contextlib import closing

    places = (
        ("experiments", "artifact_location"), ("runs", "artifact_uri"),
        ("logged_models", "artifact_location"), ("model_versions", "source"),
        ("model_versions", "storage_location"),
    )  # fmt: skip
    with closing(sqlite3.connect(copy / "mlflow" / "mlflow.db")) as base, base:
        for table, column in places:
            base.execute(
                f"UPDATE {table} SET {column} = replace({column}, ?, ?)",
                (str(original), str(copy)),
            )
