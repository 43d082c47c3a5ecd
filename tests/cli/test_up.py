from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from crimeguard.cli import train as train_verb
from crimeguard.cli import up as verb
from crimeguard.domain.errors import CrimeGuardError, UsageError
from crimeguard.domain.incident import Incident
from crimeguard.serve.keys import Scope, make_key
from crimeguard.settings import Settings
from tests.cli.world import crimeguard, refused


def test_the_example_is_an_incident() -> None:
    incident = Incident.from_record(verb.EXAMPLE)
    assert incident.mocodes == (416, 1813, 2000)


def test_a_model_in_production_is_not_made_again(
    home: Callable[[], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> dict[str, Any]:
        raise AssertionError("it trained")

    monkeypatch.setattr(train_verb, "run", never)
    verb._ensure_model(home(), None, 5_000)


@pytest.mark.parametrize("passed", [True, False])
def test_without_a_model_it_simulates_and_trains(
    tmp_path: Path, passed: bool, monkeypatch: pytest.MonkeyPatch, home: Callable[[], Settings]
) -> None:
    asked: list[Path] = []

    def run(data: Path, *_: object) -> dict[str, Any]:
        asked.append(data)
        return {"passed": passed}

    monkeypatch.setattr(train_verb, "run", run)
    monkeypatch.setattr(verb, "_simulated", lambda home, rows: home / f"{rows}.parquet")
    monkeypatch.setattr("crimeguard.registry.store.Registry.version_of", lambda *_: None)
    settings = home()
    if passed:
        verb._ensure_model(settings, None, 5_000)
    else:
        with pytest.raises(typer.Exit) as ended:
            verb._ensure_model(settings, None, 5_000)
        assert ended.value.exit_code == 3
    assert asked == [settings.home / "5000.parquet"]


def test_simulated_rows_are_made_once(tmp_path: Path) -> None:
    made = verb._simulated(tmp_path, 50)
    stamp = made.stat().st_mtime_ns
    assert verb._simulated(tmp_path, 50) == made
    assert made.stat().st_mtime_ns == stamp


def test_a_server_that_ends_by_itself_is_said() -> None:
    child = subprocess.Popen([sys.executable, "-c", "raise SystemExit(4)"])
    child.wait()
    with pytest.raises(CrimeGuardError, match="ended by itself"):
        verb._watch(child)


def test_a_port_that_is_taken_is_said_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("CRIMEGUARD_UI_PORT", str(taken.getsockname()[1]))
        monkeypatch.setenv("CRIMEGUARD_HOME", str(tmp_path / "home"))
        refused(crimeguard("up", "--once"), 2, str(taken.getsockname()[1]))
    assert not (tmp_path / "home").exists()


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


@pytest.mark.slow
def test_it_serves_a_first_prediction(home: Callable[[], Settings], tmp_path: Path) -> None:
    settings, port, said = home(), free_port(), tmp_path / "said.txt"
    with said.open("wb") as file:
        done = subprocess.Popen(
            [sys.executable, "-m", "crimeguard", "up", "--once"],
            stdout=file, stderr=subprocess.STDOUT, cwd=tmp_path, start_new_session=True,
            env={**os.environ, "CRIMEGUARD_HOME": str(settings.home), "OMP_NUM_THREADS": "1",
                 "CRIMEGUARD_PORT": str(port), "CRIMEGUARD_UI_PORT": str(free_port())},
        )  # fmt: skip
        try:
            code = done.wait(timeout=150)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(done.pid, signal.SIGKILL)
            done.wait()
    words = said.read_text()
    assert code == 0, words
    assert f"http://127.0.0.1:{port}/docs" in words
    assert "-> " in words
    assert "ready after" in words


def test_a_key_of_our_own_that_does_not_fit_is_said_before_anything_is_made() -> None:
    secret, key = make_key("console", [Scope.PREDICT])
    other, label = make_key("records", [Scope.LABEL])
    keys = f"{key.entry()},{label.entry()}"
    verb._require_key(Settings())
    verb._require_key(Settings(api_keys=keys, api_key=secret))
    for wrong in ("", other, make_key("x", [Scope.PREDICT])[0]):
        with pytest.raises(UsageError, match="CRIMEGUARD_API_KEY"):
            verb._require_key(Settings(api_keys=keys, api_key=wrong))


def test_what_is_shown_to_try_names_the_variable_and_not_the_key(
    capsys: pytest.CaptureFixture[str],
) -> None:
    secret, _ = make_key("console", [Scope.PREDICT])
    settings = Settings(ui_host="0.0.0.0", api_key=secret)
    verb._tell(settings, {"prediction": "theft", "confidence": 1.0}, 1)
    said = capsys.readouterr().err
    assert secret not in said
    assert '-H "X-API-Key: $CRIMEGUARD_API_KEY"' in said
    assert "http://127.0.0.1:8501" in said
