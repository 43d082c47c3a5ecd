from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from crimeguard.delivery.run import Outcome, run_stages, select
from crimeguard.delivery.stages import STAGES, Stage
from crimeguard.domain.errors import UsageError


def run(folder: Path, *stages: Stage, **environ: str) -> list[Outcome]:
    return list(run_stages(stages, folder, {**os.environ, **environ}))


def stage(name: str, *commands: str, minutes: float = 1, when: str | None = None) -> Stage:
    return Stage(name, name.upper(), minutes, commands, when=when)


def test_stages_run_in_order_with_their_environment(tmp_path: Path) -> None:
    began: list[tuple[int, str]] = []
    stages = [stage("one", 'echo "$WHO" > one', "test -e one && echo two > two"),
              stage("next", "cat one two > all")]  # fmt: skip
    done = list(run_stages(stages, tmp_path, {**os.environ, "WHO": "me"},
                           lambda number, stage: began.append((number, stage.name))))  # fmt: skip
    assert [outcome.result for outcome in done] == ["ok", "ok"]
    assert (tmp_path / "all").read_text() == "me\ntwo\n"
    assert began == [(0, "one"), (1, "next")]
    assert all(outcome.seconds > 0 for outcome in done)


def test_a_failure_ends_it_and_is_told(tmp_path: Path) -> None:
    first, second, third = run(
        tmp_path, stage("one", "touch one"), stage("two", "exit 3", "touch two"),
        stage("three", "touch three"),
    )  # fmt: skip
    assert (first.result, second.result, third.result) == ("ok", "failed", "not run")
    assert (second.code, second.why, third.why) == (3, "exit 3", "two failed")
    assert [first.bad, second.bad, third.bad] == [False, True, False]
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    told = second.to_dict()
    assert (told["stage"], told["title"], told["code"]) == ("two", "TWO", 3)


def test_a_condition_is_asked_when_its_stage_comes(tmp_path: Path) -> None:
    flag = stage("flagged", "touch ran", when="flag")
    skipped, _, ran = run(tmp_path, flag, stage("two", "touch flag"), flag)
    assert (skipped.result, skipped.why, ran.result) == ("skipped", "there is no flag", "ok")
    assert not skipped.bad


def both(a: str, b: str) -> Stage:
    return Stage("both", "Both", 1, branches={"A": (a,), "B": (b,)})


def test_branches_run_beside_each_other(tmp_path: Path) -> None:
    # Each waits for the other to have begun.
    wait = "touch {0}; until [ -e {1} ]; do sleep 0.05; done"
    (done,) = run(tmp_path, both(wait.format("a", "b"), wait.format("b", "a")))
    assert done.result == "ok"


def test_a_branch_that_fails_stops_the_other_and_what_it_started(tmp_path: Path) -> None:
    (done,) = run(tmp_path, both("until [ -e b ]; do sleep 0.05; done; exit 7",
                                 "touch b; (sleep 1; touch late) & sleep 60"))  # fmt: skip
    assert (done.result, done.code) == ("failed", 7)
    assert done.why.startswith("A: until")
    time.sleep(1.2)
    assert not (tmp_path / "late").exists()


def test_what_takes_too_long_is_ended(tmp_path: Path) -> None:
    late, behind = run(tmp_path, stage("late", "sleep 60", "touch late", minutes=0.005),
                       stage("two", "true"))  # fmt: skip
    assert (late.result, late.bad, behind.result) == ("timed out", True, "not run")
    assert "0.005 min" in late.why
    assert not list(tmp_path.iterdir())


def test_an_interruption_ends_what_runs(tmp_path: Path) -> None:
    def interrupt() -> None:
        while not (tmp_path / "began").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    # Another test may have left a handler of its own.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, stage("one", "touch began; sleep 1.5; touch late"))
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
    time.sleep(1.7)
    assert not (tmp_path / "late").exists()


def test_a_part_of_the_stages_can_be_chosen() -> None:
    assert select(None, None) == STAGES
    assert [stage.name for stage in select("monitor", "images")] == ["monitor", "retrain", "images"]
    assert [stage.name for stage in select("deploy", None)] == ["deploy"]
    with pytest.raises(UsageError, match=r"no stage 'x'.*initialize, data"):
        select("x", None)
    with pytest.raises(UsageError, match="comes after"):
        select("deploy", "data")
