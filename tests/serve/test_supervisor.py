from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from crimeguard.domain.errors import CrimeGuardError
from crimeguard.serve.supervisor import Supervisor, environment
from crimeguard.settings import Settings

# Comes up, and ends in order when told to; a second signal is written down.
GOOD = """
import pathlib, signal, sys, time
up, told = pathlib.Path(sys.argv[1]), []
signal.signal(signal.SIGTERM, lambda *_: told.append(1))
signal.signal(signal.SIGINT, lambda *_: told.append(2))
up.write_text("")
while not told:
    time.sleep(0.01)
if len(sys.argv) > 2:
    while len(told) < 2:
        time.sleep(0.01)
(up.parent / f"{up.name}.told").write_text(str(told))
"""
REFUSES = "import sys; sys.exit(1)"
CRASHES = "import os; os.abort()"


class Trial:
    """A supervisor of programs of a few lines."""

    def __init__(self, folder: Path, *programs: str, number: int = 2, **options: float) -> None:
        self.folder = folder
        self.started: list[tuple[int, bool]] = []
        self.pids: list[int] = []
        self.gone: list[int] = []
        self.left = 0
        self._programs = list(programs)
        self.supervisor = Supervisor(
            number, self._start, up=lambda place: (folder / f"{place}").exists(),
            gone=self._gone, leave=self._leave, patience=options.pop("patience", 20.0), **options,
        )  # fmt: skip

    def run(self, then: Callable[[], None]) -> None:
        """Supervise, while another thread does something and then asks it to end."""
        thread = threading.Thread(target=then)
        thread.start()
        try:
            self.supervisor.run()
        finally:
            thread.join()

    def ups(self) -> int:
        return sum((self.folder / f"{place}").exists() for place in range(9))

    def _start(self, place: int, again: bool) -> subprocess.Popen[bytes]:
        self.started.append((place, again))
        program = self._programs.pop(0) if len(self._programs) > 1 else self._programs[0]
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(self.folder / f"{place}")],
            stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self.pids.append(process.pid)
        return process

    def _gone(self, place: int) -> None:
        self.gone.append(place)
        (self.folder / f"{place}").unlink(missing_ok=True)

    def _leave(self) -> None:
        self.left += 1


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def end(number: signal.Signals = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_and_all_are_waited_for(
    tmp_path: Path, number: signal.Signals
) -> None:
    trial = Trial(tmp_path, GOOD)

    def then() -> None:
        until(lambda: trial.ups() == 2)
        end(number)

    before = signal.getsignal(number)
    trial.run(then)
    assert trial.started == [(0, False), (1, False)]
    assert trial.left == 1
    told = {(tmp_path / f"{place}.told").read_text() for place in (0, 1)}
    assert told == {"[1]" if number == signal.SIGTERM else "[2]"}
    assert signal.getsignal(number) is before


def test_a_second_signal_is_passed_on_as_well(tmp_path: Path) -> None:
    trial = Trial(tmp_path, GOOD.replace("> 2", "> 1"), number=1)

    def then() -> None:
        until(lambda: trial.ups() == 1)
        end()
        until(lambda: trial.left == 1)
        time.sleep(0.2)
        end(signal.SIGINT)

    trial.run(then)
    assert (tmp_path / "0.told").read_text() == "[1, 2]"


def test_one_that_is_killed_is_replaced_and_the_others_are_left_alone(tmp_path: Path) -> None:
    trial = Trial(tmp_path, GOOD)

    def then() -> None:
        until(lambda: trial.ups() == 2)
        os.kill(trial.pids[1], signal.SIGKILL)
        until(lambda: trial.gone == [1] and trial.ups() == 2)
        end()

    trial.run(then)
    assert trial.started == [(0, False), (1, False), (1, True)]


def test_one_that_refuses_to_start_is_not_asked_again(tmp_path: Path) -> None:
    trial = Trial(tmp_path, REFUSES)
    with pytest.raises(CrimeGuardError, match=r"No worker of the API comes up.*exit code 1"):
        trial.supervisor.run()
    assert len(trial.started) <= 2


def test_those_that_crash_are_tried_a_few_times_and_given_up(tmp_path: Path) -> None:
    trial = Trial(tmp_path, CRASHES, number=1, pause=0.01)
    with pytest.raises(CrimeGuardError, match="SIGABRT"):
        trial.supervisor.run()
    assert len(trial.started) == 5


def test_a_crash_at_the_start_is_got_over(tmp_path: Path) -> None:
    trial = Trial(tmp_path, CRASHES, CRASHES, GOOD, number=1, pause=0.01)

    def then() -> None:
        until(lambda: trial.ups() == 1)
        end()

    trial.run(then)
    assert len(trial.started) == 3


def test_as_long_as_one_answers_the_other_is_tried_ever_more_rarely(tmp_path: Path) -> None:
    trial = Trial(tmp_path, GOOD, CRASHES, number=2, pause=0.01)

    def then() -> None:
        until(lambda: len(trial.started) == 8)
        end()

    trial.run(then)
    worker = trial.supervisor.workers[1]
    assert worker.failures >= 6
    # Six deaths at once: 0.01, 0.02, ... 0.32 seconds were waited, and the pause goes on growing.
    assert worker.due > 0


def test_who_does_not_end_is_killed(tmp_path: Path) -> None:
    deaf = "import signal\nsignal.signal(15, signal.SIG_IGN)\n" + GOOD.replace(
        "signal.signal(signal.SIGTERM", "(lambda *_: 0)(signal.SIGTERM"
    )
    trial = Trial(tmp_path, deaf, number=1, patience=0.3)

    def then() -> None:
        until(lambda: trial.ups() == 1)
        end()

    with pytest.raises(CrimeGuardError, match="did not end in time"):
        trial.run(then)
    with pytest.raises(ProcessLookupError):
        os.kill(trial.pids[0], 0)


def test_an_end_that_is_no_good_is_told(tmp_path: Path) -> None:
    trial = Trial(tmp_path, GOOD + "\nsys.exit(3)", number=1)

    def then() -> None:
        until(lambda: trial.ups() == 1)
        end()

    with pytest.raises(CrimeGuardError, match="exit code 3"):
        trial.run(then)


def test_a_child_reads_the_same_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRIMEGUARD_LOG_DAYS", "7")
    monkeypatch.setenv("UNRELATED", "stays")
    settings = Settings(home=tmp_path, max_waiting=3, body_seconds=1.5, api_url="http://x")
    environ = environment(settings)
    assert Settings.load(environ) == settings
    assert environ["UNRELATED"] == "stays"
