from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crimeguard.domain.errors import CrimeGuardError
from crimeguard.retrain.lock import FILE, Holder, LockedError, is_locked, retraining_lock

HOLD = """
import sys
from pathlib import Path
from crimeguard.retrain.lock import retraining_lock
with retraining_lock(Path(sys.argv[1])):
    {then}
    print("held", flush=True)
    sys.stdin.read()
"""
# Whoever is inside finds that nobody else is.
COUNT = """
import sys, time
from pathlib import Path
from crimeguard.retrain.lock import LockedError, retraining_lock
home = Path(sys.argv[1])
for _ in range(6):
    while True:
        try:
            with retraining_lock(home):
                inside = home / "inside"
                inside.touch(exist_ok=False)
                time.sleep(0.005)
                with (home / "count").open("a") as file:
                    file.write("x")
                inside.unlink()
            break
        except LockedError:
            pass
"""

Hold = Callable[..., "subprocess.Popen[str]"]


def start(code: str, home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(home)], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Hold]:
    """Return a function that starts a process which holds the lock."""
    started = []

    def begin(then: str = "pass") -> subprocess.Popen[str]:
        process = start(HOLD.format(then=then), tmp_path)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_it_is_held_inside_and_free_after(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    with retraining_lock(tmp_path) as holder:
        assert holder.pid == os.getpid()
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)
    with retraining_lock(tmp_path):
        pass


def test_an_error_inside_frees_it(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), retraining_lock(tmp_path):
        raise ZeroDivisionError
    assert not is_locked(tmp_path)


def test_the_folder_is_made_if_need_be_and_never_by_a_question(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    assert not is_locked(home)
    assert not home.exists()
    with retraining_lock(home):
        assert is_locked(home)


def test_two_in_one_process_do_not_overlap(tmp_path: Path) -> None:
    with (
        retraining_lock(tmp_path),
        pytest.raises(LockedError) as caught,
        retraining_lock(tmp_path),
    ):
        pytest.fail("two retrainings at once")
    assert caught.value.holder is not None
    assert caught.value.holder.pid == os.getpid()


def test_another_home_has_another_lock(tmp_path: Path) -> None:
    with retraining_lock(tmp_path / "a"), retraining_lock(tmp_path / "b"):
        assert is_locked(tmp_path / "a")


def test_who_is_turned_away_is_told_who_holds_it(tmp_path: Path, hold: Hold) -> None:
    process = hold()
    assert is_locked(tmp_path)
    with pytest.raises(LockedError) as caught, retraining_lock(tmp_path):
        pytest.fail("two retrainings at once")
    holder = caught.value.holder
    assert holder is not None
    assert holder.pid == process.pid
    assert f"process {process.pid} on {holder.host} since {holder.since}" in str(caught.value)
    assert caught.value.exit_code == 1
    process.communicate(timeout=20)
    assert not is_locked(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_is_killed_lets_go(
    tmp_path: Path, hold: Hold, number: signal.Signals
) -> None:
    process = hold()
    with pytest.raises(LockedError), retraining_lock(tmp_path):
        pytest.fail("two retrainings at once")
    process.send_signal(number)
    process.wait(timeout=20)
    assert not is_locked(tmp_path)
    # What the dead one wrote of itself is still there; the next one writes over it.
    assert json.loads((tmp_path / FILE).read_text())["pid"] == process.pid
    with retraining_lock(tmp_path) as holder:
        assert json.loads((tmp_path / FILE).read_text())["pid"] == holder.pid


def test_a_program_that_the_holder_started_does_not_keep_it(tmp_path: Path, hold: Hold) -> None:
    process = hold(
        "import subprocess; child = subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL,"
        " stderr=subprocess.DEVNULL); print(child.pid, file=sys.stderr, flush=True)"
    )
    assert process.stderr is not None
    child = int(process.stderr.readline())
    process.kill()
    process.wait(timeout=20)
    try:
        assert not is_locked(tmp_path)
    finally:
        os.kill(child, signal.SIGKILL)


def test_many_processes_are_inside_one_after_the_other(tmp_path: Path) -> None:
    processes = [start(COUNT, tmp_path) for _ in range(4)]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    assert (tmp_path / "count").read_text() == "x" * 24


def test_questions_turn_no_retraining_away(tmp_path: Path) -> None:
    stop = threading.Event()
    with retraining_lock(tmp_path):
        pass

    def ask() -> None:
        while not stop.wait(0.001):
            is_locked(tmp_path)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    try:
        for _ in range(100):
            with retraining_lock(tmp_path):
                pass
    finally:
        stop.set()
        for thread in asking:
            thread.join()


@pytest.mark.parametrize("note", ["", "{", "[]", '{"pid": "x"}', '{"pid": 1}'])
def test_a_holder_that_has_not_written_its_name_is_not_made_up(tmp_path: Path, note: str) -> None:
    with retraining_lock(tmp_path):
        (tmp_path / FILE).write_text(note)
        with pytest.raises(LockedError, match="not said its name yet") as caught:
            retraining_lock(tmp_path).__enter__()
    assert caught.value.holder is None


def test_a_lock_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(CrimeGuardError, match=f"{FILE} cannot be opened"):
        retraining_lock(tmp_path).__enter__()
    (tmp_path / "file").touch()
    with pytest.raises(CrimeGuardError, match="cannot be opened"):
        retraining_lock(tmp_path / "file").__enter__()


def test_a_disk_that_knows_no_locks_or_is_full_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / FILE).symlink_to("/dev/full")
    with pytest.raises(CrimeGuardError, match="cannot be written"):
        retraining_lock(tmp_path).__enter__()

    def no_locks(file: object, kind: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(CrimeGuardError, match=r"cannot be locked. No locks available"):
        retraining_lock(tmp_path).__enter__()


def test_a_holder_says_itself_in_words() -> None:
    holder = Holder(7, "here", "2024-05-01T12:00:00+00:00")
    assert str(holder) == "process 7 on here since 2024-05-01T12:00:00+00:00"
