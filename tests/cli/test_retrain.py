"""Exit codes and words; what a retraining does is tested in tests/retrain/test_run.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from crimeguard.cli import retrain as verb
from crimeguard.retrain import run as module
from crimeguard.retrain.lock import retraining_lock
from crimeguard.retrain.policy import Decision
from crimeguard.retrain.probe import Probe
from crimeguard.retrain.run import Outcome, Result
from crimeguard.retrain.signals import Forced
from crimeguard.settings import Settings
from tests.cli.world import crimeguard, refused

TRAIN = Decision("train", ("drift: 2 of the last 3 verdicts are critical.",), "d1")


def ends(monkeypatch: pytest.MonkeyPatch, outcome: Outcome) -> list[Forced | None]:
    """Let a retraining end as given, without registry and records; return who was asked."""
    asked: list[Forced | None] = []
    monkeypatch.setattr(verb, "opened", lambda *_: nullcontext((None, None)))

    def run(_: Any, forced: Forced | None = None) -> Outcome:
        asked.append(forced)
        return outcome

    monkeypatch.setattr(module.Retraining, "run", run)
    return asked


@pytest.mark.parametrize(
    ("result", "code", "words"),
    [
        ("promoted", 0, "version 2 is in production instead of version 1"),
        ("refused", 3, "version 2 stays in staging"),
        ("rolled back", 1, "probe: it is silent"),
    ],
)
def test_how_it_ended_is_told_and_is_the_exit_code(
    result: Result, code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRIMEGUARD_HOME", str(tmp_path))
    probe = {
        "promoted": Probe(True, ["6 golden rows answered"]),
        "rolled back": Probe(False, [], "it is silent"),
    }.get(result)
    ends(monkeypatch, Outcome(result, TRAIN, "probe", "2", "1", None, probe))
    told = crimeguard("retrain")
    assert (told.code, told.out) == (code, "")
    for said in (words, TRAIN.reasons[0], "an earlier run was killed; settled: probe"):
        assert said in told.err
    told = crimeguard("retrain", "--json")
    assert told.code == code
    assert json.loads(told.out)["result"] == result


def test_no_reason_is_no_error(home: Callable[[], Settings]) -> None:
    home()
    told = crimeguard("retrain", "--json")
    assert told.code == 0, told.err
    outcome = json.loads(told.out)
    assert (outcome["result"], outcome["gates"], outcome["probe"]) == ("skip", None, None)
    told = crimeguard("retrain")
    assert "skip: persistence: 0 of the last 3 verdicts are critical" in told.err


def test_what_blocks_is_an_error(home: Callable[[], Settings]) -> None:
    settings = home()
    with retraining_lock(settings.home):
        told = crimeguard("retrain")
    assert (told.code, told.out) == (1, "")
    assert "block: locked: another retraining runs." in told.err
    assert "champion" not in told.err


def test_without_a_champion(empty_home: Path, use_home: Callable[[Path], Settings]) -> None:
    use_home(empty_home)
    told = crimeguard("retrain", "--json")
    assert told.code == 1
    assert json.loads(told.out)["decision"]["action"] == "block"


def test_force_needs_a_reason_and_names_who_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRIMEGUARD_HOME", str(tmp_path))
    asked = ends(monkeypatch, Outcome("skip", TRAIN))
    assert crimeguard("retrain", "--force", "the export was corrected").code == 0
    assert asked[0] is not None
    assert asked[0].why == "the export was corrected"
    assert "@" in asked[0].who
    refused(crimeguard("retrain", "--force", " "), 2, "needs a name and a reason")
