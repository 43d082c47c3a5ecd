"""Runs stages as Jenkins does: in order, on condition, beside each other, not for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from crimeguard.delivery.stages import STAGES, Stage
from crimeguard.domain.errors import UsageError

Result = Literal["ok", "failed", "timed out", "skipped", "not run"]
_GRACE: Final = 10.0  # seconds between asking a command to end and killing it
_BAD: Final = ("failed", "timed out")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one stage; `code` is the exit code of the command that failed."""

    stage: Stage
    result: Result
    seconds: float = 0.0
    code: int = 0
    why: str = ""

    @property
    def bad(self) -> bool:
        """Whether the stages behind it must not run."""
        return self.result in _BAD

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {"stage": self.stage.name, "title": self.stage.title, "result": self.result,
                "seconds": round(self.seconds, 1), "code": self.code, "why": self.why}  # fmt: skip


def select(first: str | None, last: str | None) -> tuple[Stage, ...]:
    """Return the stages from one to another, both included; UsageError if there are none."""
    names = [stage.name for stage in STAGES]
    for name in (first, last):
        if name is not None and name not in names:
            raise UsageError(f"There is no stage {name!r}.",
                             fix=f"The stages are {', '.join(names)}.")  # fmt: skip
    begin = 0 if first is None else names.index(first)
    end = len(names) if last is None else names.index(last) + 1
    if begin >= end:
        raise UsageError(f"Stage {first!r} comes after {last!r}.",
                         fix=f"The order is {', '.join(names)}.")  # fmt: skip
    return STAGES[begin:end]


def run_stages(
    stages: Sequence[Stage], workspace: Path, environ: Mapping[str, str],
    on_stage: Callable[[int, Stage], None] = lambda _, __: None, *, stdout: int | None = None,
) -> Iterator[Outcome]:  # fmt: skip
    """Run stages one after the other and yield what became of each.

    Behind one that failed, none runs. `on_stage` is told number and stage before it begins.
    What the commands write goes where ours goes, or to the file descriptor `stdout`.
    """
    failed: str | None = None
    for number, stage in enumerate(stages):
        if failed is not None:
            yield Outcome(stage, "not run", why=f"{failed} failed")
            continue
        if stage.when is not None and not (workspace / stage.when).exists():
            yield Outcome(stage, "skipped", why=f"there is no {stage.when}")
            continue
        on_stage(number, stage)
        outcome = _run_stage(stage, _Work(workspace, environ, stdout))
        failed = stage.name if outcome.bad else None
        yield outcome


@dataclass(slots=True)
class _Work:
    """The commands of one stage that run now, of all its branches."""

    workspace: Path
    environ: Mapping[str, str]
    stdout: int | None
    running: set[subprocess.Popen[bytes]] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopped: bool = False
    code: int = 0
    why: str = ""

    def branch(self, name: str, commands: Sequence[str]) -> None:
        """Run commands until one fails; then stop the other branches as well."""
        for command in commands:
            code = self._one(command)
            if code is None:
                return
            if code != 0:
                self._fail(code, f"{name}: {command}" if name else command)
                return

    def _one(self, command: str) -> int | None:
        with self.lock:
            if self.stopped:
                return None
            # A session of its own, so that everything that it starts can be ended with it.
            process = subprocess.Popen(  # noqa: S603 -- the commands are ours
                ["/bin/sh", "-ec", command], cwd=self.workspace, env=dict(self.environ),
                start_new_session=True, stdin=subprocess.DEVNULL, stdout=self.stdout,
            )  # fmt: skip
            self.running.add(process)
        code = process.wait()
        with self.lock:
            self.running.discard(process)
            return None if self.stopped else code

    def _fail(self, code: int, why: str) -> None:
        with self.lock:
            if not self.why:
                self.code, self.why = code, why
        self.stop()

    def stop(self) -> None:
        """End what runs, and let nothing else begin."""
        with self.lock:
            self.stopped = True
            running = set(self.running)
        for process in running:
            _signal(process, signal.SIGTERM)
        until = time.monotonic() + _GRACE
        for process in running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
            _signal(process, signal.SIGKILL)


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _run_stage(stage: Stage, work: _Work) -> Outcome:
    began = time.monotonic()
    threads = [
        threading.Thread(target=work.branch, args=(name, commands))
        for name, commands in stage.work.items()
    ]
    with _stopped_at_the_end(work):
        for thread in threads:
            thread.start()
        until = began + stage.minutes * 60
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        late = any(thread.is_alive() for thread in threads)
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - began
    if work.why:
        return Outcome(stage, "failed", seconds, work.code, work.why)
    if late:
        return Outcome(stage, "timed out", seconds, 1, f"not done within {stage.minutes:g} min")
    return Outcome(stage, "ok", seconds)


@contextmanager
def _stopped_at_the_end(work: _Work) -> Iterator[None]:
    """End everything whatever ends us: time, Ctrl-C, SIGTERM."""
    try:
        yield
    finally:
        work.stop()
