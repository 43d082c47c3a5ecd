from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from crimeguard.domain.errors import BundleError, RegistryError
from crimeguard.pipeline import Trained
from crimeguard.registry import store
from crimeguard.registry.bundle import FILES, MANIFEST, Bundle
from crimeguard.registry.store import PRODUCTION, STAGING, Registry, Run
from crimeguard.settings import Settings
from tests.registry import versions

Home = Callable[[], Settings]


def open_registry(settings: Settings) -> Registry:
    return Registry(settings.tracking_uri, artifacts=settings.home / "mlflow" / "artifacts")


def run_of(trained: Trained, tmp_path: Path) -> Run:
    note = tmp_path / "note.txt"
    note.write_text("kept with the run")
    return Run(trained.bundle.card["params"], trained.evaluation.metrics(), {"snapshot": "abc"},
               (note,))  # fmt: skip


def other_bundle(trained: Trained, folder: Path) -> Bundle:
    """Write the same model with another card: other bytes, another version."""
    return versions.other_bundle(trained, folder, "other")


def test_a_version_goes_from_none_to_staging_to_production_to_archived(
    home: Home, trained: Trained, tmp_path: Path
) -> None:
    registry = open_registry(home())
    assert registry.version_of(PRODUCTION) == "1"
    assert registry.version_of(STAGING) is None
    second = other_bundle(trained, tmp_path / "bundles")
    version = registry.register(second, run_of(trained, tmp_path))
    assert version == "2"
    assert registry.version_of(STAGING) == "2"
    assert registry.version_of(PRODUCTION) == "1"
    assert [(v.number, v.stage, v.aliases) for v in registry.versions()] == [
        ("2", "Staging", (STAGING,)), ("1", "Production", (PRODUCTION,)),
    ]  # fmt: skip
    assert registry.promote("2") == "1"
    assert [(v.number, v.stage, v.aliases) for v in registry.versions()] == [
        ("2", "Production", (PRODUCTION,)), ("1", "Archived", ()),
    ]  # fmt: skip
    assert registry.promote("2") is None
    assert registry.versions()[0].sha256 == second.sha256


def test_a_run_keeps_params_metrics_tags_and_files(
    home: Home, trained: Trained, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    settings = home()
    registry = open_registry(settings)
    registry.register(other_bundle(trained, tmp_path / "b"), run_of(trained, tmp_path))
    newest = registry.versions()[0]
    assert newest.metrics["report_accuracy"] == trained.evaluation.metrics()["report_accuracy"]
    client = MlflowClient(settings.tracking_uri)
    run = client.get_run(newest.run_id)
    rounds = trained.bundle.card["params"]["xgboost"]["rounds"]
    assert run.data.params["xgboost.rounds"] == str(rounds)
    assert run.data.tags["snapshot"] == "abc"
    assert "note.txt" in {item.path for item in client.list_artifacts(newest.run_id)}


def test_what_is_fetched_is_what_was_registered(
    home: Home, trained: Trained, tmp_path: Path
) -> None:
    registry = open_registry(home())
    folder = registry.fetch(PRODUCTION, into=tmp_path / "served")
    assert folder is not None
    assert {path.name for path in folder.iterdir()} == {MANIFEST, *FILES}
    assert Bundle.load(folder).sha256 == trained.bundle.sha256
    assert registry.fetch(STAGING, into=tmp_path / "served") is None


def test_a_good_copy_is_not_fetched_again_and_a_damaged_one_is(
    home: Home, trained: Trained, tmp_path: Path
) -> None:
    settings = home()
    registry = open_registry(settings)
    folder = registry.fetch_version("1", into=tmp_path)
    (folder / "pool.json").write_text("{}")
    assert registry.fetch_version("1", into=tmp_path) == folder
    assert Bundle.load(folder).sha256 == trained.bundle.sha256
    shutil.rmtree(settings.home / "mlflow" / "artifacts")
    assert registry.fetch_version("1", into=tmp_path) == folder


def test_a_file_can_be_attached_to_the_run_of_a_version_later(home: Home, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    settings = home()
    registry, page = open_registry(settings), tmp_path / "gates.html"
    for words in ("first", "second"):
        page.write_text(words)
        registry.attach("1", page)
    client = MlflowClient(settings.tracking_uri)
    run_id = registry.versions()[0].run_id
    assert "gates.html" in {item.path for item in client.list_artifacts(run_id)}
    kept = list((settings.home / "mlflow" / "artifacts").rglob("gates.html"))
    assert [file.read_text() for file in kept] == ["second"]
    with pytest.raises(RegistryError, match="There is no version 7"):
        registry.attach("7", page)
    with pytest.raises(RegistryError, match="could not be written"):
        registry.attach("1", tmp_path / "none.html")


def test_versions_and_digests_lead_to_each_other(
    home: Home, trained: Trained, tmp_path: Path
) -> None:
    registry = open_registry(home())
    assert registry.sha256_of("1") == trained.bundle.sha256
    assert registry.number_of(trained.bundle.sha256) == "1"
    assert registry.number_of("f" * 64) is None
    with pytest.raises(RegistryError, match="There is no version 7"):
        registry.sha256_of("7")
    registry.register(other_bundle(trained, tmp_path / "b"), run_of(trained, tmp_path))
    assert registry.number_of(trained.bundle.sha256) == "1"
    assert registry.register(trained.bundle, run_of(trained, tmp_path)) == "3"
    assert registry.number_of(trained.bundle.sha256) == "3"


def test_numbers_are_ordered_as_numbers(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = open_registry(home())
    sha256 = registry.sha256_of("1")
    many = [SimpleNamespace(version=number, tags={"bundle_sha256": sha256}) for number in (9, 10)]
    monkeypatch.setattr(registry._client, "search_model_versions", lambda _: many)
    assert registry.number_of(sha256) == "10"


def in_store(settings: Settings, file: str) -> Path:
    return next((settings.home / "mlflow" / "artifacts").rglob(f"bundle/{file}"))


def test_a_file_that_was_changed_in_the_store_is_refused(home: Home, tmp_path: Path) -> None:
    settings = home()
    registry = open_registry(settings)
    weights = in_store(settings, "linear.npy")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(BundleError, match="not what the manifest says"):
        registry.fetch(PRODUCTION, into=tmp_path / "served")
    assert {item.name for item in (tmp_path / "served").iterdir()} == {".fetch.lock"}


def test_a_whole_other_bundle_in_its_place_is_refused(
    home: Home, trained: Trained, tmp_path: Path
) -> None:
    settings = home()
    place = in_store(settings, MANIFEST).parent
    other = other_bundle(trained, tmp_path / "others")
    shutil.rmtree(place)
    shutil.copytree(other.path, place)
    with pytest.raises(BundleError, match="not what was registered"):
        open_registry(settings).fetch(PRODUCTION, into=tmp_path / "served")
    assert {item.name for item in (tmp_path / "served").iterdir()} == {".fetch.lock"}


def test_only_what_belongs_to_a_bundle_is_registered(
    home: Home, trained: Trained, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(trained.bundle.path, folder)
    (folder / "notes.txt").write_text("private")
    settings = home()
    registry = open_registry(settings)
    registry.register(replace(trained.bundle, path=folder), run_of(trained, tmp_path))
    assert not list((settings.home / "mlflow" / "artifacts").rglob("notes.txt"))


def test_a_version_that_there_is_not(home: Home, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="There is no version 7"):
        open_registry(home()).fetch_version("7", into=tmp_path)


@pytest.mark.parametrize(
    "uri",
    [
        "http://user:secret@127.0.0.1:1",
        "postgresql://user:secret@127.0.0.1:1/mlflow",
        "nonsense://user:secret@127.0.0.1:1/x",
    ],
)
def test_a_registry_out_of_reach_is_said_without_the_password(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr("mlflow.store.db.utils.MAX_RETRY_COUNT", 0)
    with pytest.raises(RegistryError) as caught:
        Registry(uri).version_of(PRODUCTION)
    error = caught.value
    said = f"{error.what} {error.why} {error.fix}"
    assert "127.0.0.1:1" in error.what
    assert "MLFLOW_TRACKING_URI" in error.fix
    assert "secret" not in said
    assert "user" not in error.what


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:pw@host:1/x", "http://host:1/x"),
        (
            "at http://me:p@w@host/x failed, see https://a@b/",
            "at http://host/x failed, see https://b/",
        ),
        ("sqlite:////home/a@b/mlflow.db", "sqlite:////home/a@b/mlflow.db"),
    ],
)
def test_names_and_passwords_are_cut_out(text: str, shown: str) -> None:
    assert store._public(text) == shown


PROGRAM = """
import json, sys
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/crimeguard@production")
rows = pd.read_parquet(sys.argv[2])
answers = {
    "report": model.predict(rows),
    "call": model.predict(rows, params={"level": "call"}),
    "list": model.predict(rows.head(3).to_dict(orient="records")),
    "typed": model.predict(rows.assign(**{"Vict Age": pd.array([34, None] * 10, "Int64")})),
}
json.dump({name: json.loads(frame.to_json(orient="split", double_precision=15))
           for name, frame in answers.items()}, sys.stdout)
"""


def test_any_mlflow_user_can_score_raw_rows(
    home: Home, trained: Trained, exported: pl.DataFrame, tmp_path: Path
) -> None:
    from crimeguard.domain.category import CATEGORIES
    from crimeguard.domain.level import InformationLevel
    from crimeguard.features.columns import Columns
    from crimeguard.ingest.frame import canonical

    settings, rows = home(), tmp_path / "rows.parquet"
    exported.head(20).write_parquet(rows)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, settings.tracking_uri, str(rows)],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    answers = json.loads(done.stdout)
    frame = canonical(exported.head(20)).frame
    for name in ("report", "call"):
        level = InformationLevel.parse(name)
        expected = trained.bundle.model.probabilities(Columns.from_frame(frame, level=level))
        found = pl.DataFrame(answers[name]["data"], answers[name]["columns"], orient="row")
        shares = found.select(f"p_{category}" for category in CATEGORIES).to_numpy()
        # Another machine may multiply with another rounding, so do threads.
        assert shares == pytest.approx(expected, abs=1e-5)
        assert found["information_level"].to_list() == [name] * 20
        best = [CATEGORIES[place] for place in expected.argmax(axis=1)]
        assert found["prediction"].to_list() == best
        assert found["confidence"].to_list() == shares.max(axis=1).tolist()
    assert answers["list"]["data"] == answers["report"]["data"][:3]
    assert len(answers["typed"]["data"]) == 20
