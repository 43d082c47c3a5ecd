"""`crimeguard tune` as a process that is killed, and what its file of trials holds then."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FINISHED = ("COMPLETE", "PRUNED")
# Trains in about a second, and is no good.
SMALL = """\
threads: 1
features: {min_count: 10, mo_columns: 20}
linear: {iterations: 5, folds: 2}
xgboost: {rounds: 2, learning_rate: 0.3}
lightgbm: {rounds: 2, learning_rate: 0.2}
neural: {units: 16, epochs: 1, seeds: 1}
tuning: {folds: 2, fold_days: 5, confirm_days: 7, startup: 3}
"""
SPACE = """\
name,low,high,scale
linear.spread_report,0.02,0.4,log
xgboost.rounds,1,6,linear
xgboost.learning_rate,0.05,0.6,log
lightgbm.rounds,1,6,linear
"""


@dataclass(frozen=True)
class Kept:
    """A trial as the file holds it: `values` and `days` are None before they are known."""

    number: int
    state: str
    values: Any
    days: Any


@dataclass(frozen=True)
class Killed:
    """How a round ended: by the kill, or by itself before it."""

    died: bool
    finished: int
    running: int


def start(words: Sequence[object], home: Path) -> subprocess.Popen[str]:
    """Start `crimeguard tune` with one thread, on a home of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "crimeguard", "tune", *map(str, words)], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**_environment(), "CRIMEGUARD_HOME": str(home), "OMP_NUM_THREADS": "1"},
        # What is started in the background of a shell ignores Ctrl-C, and so do its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def _environment() -> dict[str, str]:
    """Return our own without MLflow's address, which its client leaves behind."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}


def trials(home: Path) -> list[Kept]:
    """Read the trials as another process sees them; none before there is a file."""
    file = home / "tuning" / "trials.db"
    if not file.exists():
        return []
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as base:
        try:
            rows = base.execute("SELECT trial_id, number, state FROM trials ORDER BY number")
            attributes: dict[int, dict[str, Any]] = {}
            found = rows.fetchall()
            for trial, key, value in base.execute(
                "SELECT trial_id, key, value_json FROM trial_user_attributes"
            ):
                attributes.setdefault(trial, {})[key] = json.loads(value)
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise
    return [
        Kept(number, state, *(attributes.get(trial, {}).get(key) for key in ("values", "days")))
        for trial, number, state in found
    ]


def finished(home: Path) -> list[Kept]:
    """Read those that came to an end."""
    return [item for item in trials(home) if item.state in FINISHED]


def killed(words: Sequence[object], home: Path, more: int, seconds: float) -> Killed:
    """Start a search, let `more` further trials finish, and kill it `seconds` later.

    With no more the seconds count from the start of the process.
    """
    goal = len(finished(home)) + more
    process = start(words, home)
    try:
        while more and process.poll() is None and len(finished(home)) < goal:
            time.sleep(0.05)
        time.sleep(seconds)
        died = process.poll() is None
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        _, err = process.communicate()
    if not died and process.returncode:
        raise AssertionError(err)
    now = trials(home)
    return Killed(
        died,
        sum(item.state in FINISHED for item in now),
        sum(item.state == "RUNNING" for item in now),
    )


def complete(words: Sequence[object], home: Path) -> dict[str, Any]:
    """Run a search to its end and return what it says in JSON."""
    process = start([*words, "--json"], home)
    out, err = process.communicate()
    if process.returncode:
        raise AssertionError(err)
    told: dict[str, Any] = json.loads(out)
    return told


def lost(before: Sequence[Kept], after: Sequence[Kept]) -> list[Kept]:
    """Return the finished trials that are missing later, or are not what they were."""
    return [item for item in before if item.state in FINISHED and item not in after]
