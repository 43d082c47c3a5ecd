from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from crimeguard.cli import children
from crimeguard.domain.errors import CrimeGuardError


def test_a_child_is_ended_with_us() -> None:
    with children.child("--version") as child:
        pass
    assert child.poll() is not None


def test_a_child_is_ended_when_we_fail() -> None:
    with pytest.raises(KeyboardInterrupt), children.child("history", "--help") as child:
        raise KeyboardInterrupt
    assert child.poll() is not None


def test_what_a_child_says_goes_into_its_file_and_it_has_our_variables_and_more(
    tmp_path: Path,
) -> None:
    environ = {"CRIMEGUARD_PORT": "many"}
    with children.child("serve", environ=environ, log=tmp_path / "said") as child:
        assert child.wait(timeout=60) == 2
    assert "CRIMEGUARD_PORT is 'many'" in (tmp_path / "said").read_text()


def test_a_child_that_does_not_listen_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = ("import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
            "print('deaf', flush=True); time.sleep(60)")  # fmt: skip
    real, told = subprocess.Popen, []

    class Deaf(real):  # type: ignore[valid-type, misc]
        def __init__(self, *_: object, **__: object) -> None:
            super().__init__([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
            told.append(self.stdout.readline())
            self.stdout.close()

        def wait(self, timeout: float | None = None) -> int:
            return int(super().wait(timeout and 0.3))

    monkeypatch.setattr(subprocess, "Popen", Deaf)
    with children.child("x") as child:
        pass
    assert told == [b"deaf\n"]
    assert child.returncode == -9


def test_a_server_that_ends_is_said() -> None:
    child = subprocess.Popen([sys.executable, "-c", "raise SystemExit(4)"])
    child.wait()
    with pytest.raises(CrimeGuardError, match="ended before it was ready"):
        children.wait_ready("http://127.0.0.1:9", child, seconds=5)


def test_a_server_that_is_never_ready_is_said() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        with pytest.raises(CrimeGuardError, match="not ready within"):
            children.wait_ready("http://127.0.0.1:9", child, seconds=0.3)
    finally:
        child.kill()
        child.wait()
