"""A running server and bundles that it must not serve: the old one stays, and it is told once."""

from __future__ import annotations

import os
import resource
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from crimeguard.pipeline import Trained
from crimeguard.records.database import open_database
from crimeguard.records.ledger import Ledger
from crimeguard.registry.bundle import verify
from crimeguard.registry.folder import SIGNATURE
from crimeguard.registry.signature import make_signing_key
from crimeguard.settings import Settings
from tests.faults.following import PROGRAM, Folders, folders
from tests.faults.served import INCIDENT, Served, served
from tests.registry.test_bundle import edit_manifest
from tests.registry.versions import other_bundle
from tests.serve.test_rehearsal import cut

PATIENCE = 60  # seconds


def until(condition: Callable[[], bool], running: Served) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, running.errors
        assert running.process.poll() is None, running.errors
        time.sleep(0.02)


def health(running: Served) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = httpx.get(f"{running.address}/health").json()
    return found


def until_refused(version: str, running: Served) -> None:
    until(lambda: health(running)["registry"]["refused"] == version, running)


def answered_by(running: Served) -> str:
    answer = httpx.post(f"{running.address}/predict", json=INCIDENT, timeout=30)
    return str(answer.raise_for_status().json()["model_info"]["sha256"])


def refusals(settings: Settings) -> list[tuple[str, str]]:
    database = open_database(settings)
    try:
        return [(line.subject, line.why) for line in Ledger(database).entries("refusal")]
    finally:
        database.close()


def _flip(folder: Path) -> None:
    content = bytearray((folder / "linear.npy").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "linear.npy").write_bytes(content)


def _link(folder: Path) -> None:
    outside = folder.parent / f"{folder.name}-outside"
    (folder / "pool.json").rename(outside)
    (folder / "pool.json").symlink_to(outside)


def _empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


def _unsign(folder: Path) -> None:
    (folder / SIGNATURE).unlink()


def _downgrade(folder: Path) -> None:
    edit_manifest(folder, lambda manifest: manifest.update({"format": 1}))


@pytest.mark.slow
def test_what_must_not_be_served_is_refused_and_told(trained: Trained, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    registry = folders(settings.home)
    good = registry.put("1", trained.bundle.path)
    wrongs: dict[str, Callable[[Path], object]] = {
        "flipped": _flip, "cut": cut, "linked": _link, "downgraded": _downgrade,
        "truncated": lambda folder: os.truncate(folder / "xgboost.json", 1000),
        "empty": _empty,
        "extra": lambda folder: (folder / "code.py").touch(),
    }  # fmt: skip
    for name, spoil in wrongs.items():
        spoil(registry.put(name, good))
    new = other_bundle(trained, tmp_path / "b", "new", lean=1.0)
    registry.put("2", new.path)
    registry.name("1")
    with served(None, settings, program=PROGRAM) as running:
        for name in wrongs:
            registry.name(name)
            until_refused(name, running)
            assert health(running)["registry"]["state"] == "refused"
            assert answered_by(running) == trained.bundle.sha256
            assert httpx.get(f"{running.address}/readyz").is_success
        until(lambda: len(refusals(settings)) == len(wrongs), running)
        metrics = httpx.get(f"{running.address}/metrics").text
        assert f'crimeguard_registry_failures_total{{reason="refused"}} {len(wrongs)}.0' in metrics
        registry.name("2")
        until(lambda: answered_by(running) == new.sha256, running)
        assert health(running)["registry"]["refused"] is None
    assert [subject for subject, _ in refusals(settings)] == list(wrongs)
    assert "cannot be read" in dict(refusals(settings))["cut"]


@pytest.mark.slow
def test_a_server_with_keys_serves_only_what_they_signed(trained: Trained, tmp_path: Path) -> None:
    ours, theirs = (make_signing_key(tmp_path / name) for name in ("ours", "theirs"))
    settings = Settings(home=tmp_path / "home", bundle_public_keys=ours.public)
    registry = folders(settings.home)
    for version, key in (("1", ours), ("2", theirs), ("3", ours)):
        bundle = other_bundle(trained, tmp_path / "b", version, lean=float(version))
        key.sign(registry.put(version, bundle.path))
    registry.put("4", registry.folder / "3")
    _unsign(registry.folder / "4")
    registry.name("2")
    with served(None, settings, program=PROGRAM, ready=False) as running:
        until(lambda: health(running)["registry"]["refused"] == "2", running)
        assert httpx.get(f"{running.address}/readyz").status_code == 503
        registry.name("1")
        running.wait_ready()
        for version in ("2", "4"):
            registry.name(version)
            until_refused(version, running)
            assert answered_by(running) == verify(registry.folder / "1")[1]
        registry.name("3")
        until(lambda: answered_by(running) == verify(registry.folder / "3")[1], running)
    assert "trusted" in dict(refusals(settings))["4"]


@pytest.mark.slow
def test_an_unsigned_folder_is_not_served(tiny_bundle: Path, tmp_path: Path) -> None:
    key = make_signing_key(tmp_path / "key")
    settings = Settings(home=tmp_path / "home", bundle_public_keys=key.public)
    with pytest.raises(AssertionError, match="not signed"):
        Served(tiny_bundle, settings)
    shutil.copytree(tiny_bundle, tmp_path / "signed")
    key.sign(tmp_path / "signed")
    with served(tmp_path / "signed", settings) as running:
        assert answered_by(running) == verify(tiny_bundle)[1]


def registry_of(home: Path, bundle: Path) -> Folders:
    registry = folders(home)
    registry.put("1", bundle)
    registry.name("1")
    return registry


@pytest.mark.slow
def test_a_registry_that_is_not_there_yet_dies_and_hangs(tiny_bundle: Path, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    registry = registry_of(settings.home, tiny_bundle)
    registry.break_down("down")
    with served(None, settings, program=PROGRAM, ready=False) as running:
        until(lambda: health(running)["registry"]["state"] == "unreachable", running)
        assert httpx.get(f"{running.address}/readyz").status_code == 503
        assert httpx.get(f"{running.address}/livez").is_success
        registry.break_down("")
        running.wait_ready()
        registry.break_down("down")
        until(lambda: health(running)["registry"]["state"] == "unreachable", running)
        assert answered_by(running) == verify(tiny_bundle)[1]
        registry.break_down("hang")
        looked = health(running)["registry"]["looked_at"]
        until(lambda: health(running)["registry"]["looked_at"] == looked, running)
        for _ in range(20):
            assert answered_by(running) == verify(tiny_bundle)[1]
    assert running.process.returncode == 0
    # What was served last is served again though the registry hangs from the start.
    with served(None, settings, program=PROGRAM) as running:
        assert answered_by(running) == verify(tiny_bundle)[1]
        registry.break_down("")
        until(lambda: health(running)["registry"]["state"] == "following", running)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can bound another process's files")
def test_a_disk_that_is_full_while_a_bundle_is_fetched(trained: Trained, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    registry = registry_of(settings.home, trained.bundle.path)
    new = other_bundle(trained, tmp_path / "b", "new", lean=1.0)
    registry.put("2", new.path)
    cache = settings.home / "bundles" / "served"
    with served(None, settings, program=PROGRAM) as running:
        pid = running.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (100_000, before[1]))
        registry.name("2")
        until(lambda: health(running)["registry"]["state"] == "unreachable", running)
        assert health(running)["model_info"]["sha256"] == trained.bundle.sha256
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        until(lambda: answered_by(running) == new.sha256, running)
        assert {item.name for item in cache.glob("*")} == {
            "v1", "v2", "serving.json", ".follow.lock"
        }  # fmt: skip
    assert refusals(settings) == []
