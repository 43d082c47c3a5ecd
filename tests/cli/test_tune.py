from __future__ import annotations

import datetime as dt
import json
import os
import re
import shlex
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.main import get_command

from crimeguard.cli.app import app
from crimeguard.registry.nested import Nested, NestedRuns
from crimeguard.registry.store import open_registry
from crimeguard.settings import Settings
from crimeguard.train import nested
from crimeguard.train.fit import Progress, Shown, fit_model
from crimeguard.train.model import Model
from crimeguard.train.nested import Days, Fold
from crimeguard.train.params import Params, load_params
from crimeguard.train.tune import Study
from tests.cli.world import contents, crimeguard, refused
from tests.conftest import copy_home
from tests.train.killed import SMALL, SPACE, complete, finished, killed, lost, start, trials

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tuning.md").read_text()
UNTIL = dt.date(2023, 2, 14)
# One step of the linear member is far too few, so that there is something to be found.
BAD = SMALL.replace("iterations: 5", "iterations: 1")
BETTER = "name,low,high,scale\nlinear.iterations,1,8,linear\n"
# Nothing that changes an answer by as much as chance does.
ALIKE = "name,low,high,scale\nneural.l2,0.00099,0.00101,linear\n"


RUN: dict[str, Any] = Study.run.__kwdefaults__ or {}


def quickly(fold: Fold, params: Params, progress: Progress) -> Days:
    """Stand for a training, where only what is around it is looked at."""
    progress("fit", 1, 1)
    return [(1, 1.5)]


@dataclass
class World:
    """A folder with what a search needs, and the days that models were made and judged on."""

    folder: Path
    days: list[dt.date] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def words(self, count: int, params: str = "params.yaml", space: str = "space.csv") -> list[Any]:
        return [
            "--data", self.folder / "rows.parquet", "--params", self.folder / params,
            "--space", self.folder / space, "--trials", count, "--train-until", UNTIL,
        ]  # fmt: skip


def make(folder: Path, exported: pl.DataFrame, empty_home: Path) -> World:
    copy_home(empty_home, folder / "home")
    # MLflow's client leaves the address of the empty one behind.
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        os.environ.pop(name, None)
    exported.gather_every(2).write_parquet(folder / "rows.parquet")
    (folder / "params.yaml").write_text(SMALL)
    (folder / "space.csv").write_text(SPACE)
    return World(folder)


def note_days(world: World, patch: pytest.MonkeyPatch) -> None:
    """Note which days the models of the folds learn from, and which they are scored on."""

    def fitted(frame: pl.DataFrame, *rest: Any) -> Model:
        world.days += frame["date_occ"].to_list()
        return fit_model(frame, *rest)

    class Noted:
        @classmethod
        def of(cls, frame: pl.DataFrame) -> Shown:
            world.days += frame["date_occ"].to_list()
            return Shown.of(frame)

    patch.setattr(nested, "fit_model", fitted)
    patch.setattr(nested, "Shown", Noted)


@pytest.fixture(scope="module")
def world(
    exported: pl.DataFrame, empty_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[World, dict[str, Any]]:
    """Search once for all tests that look at what a search leaves; not to be changed."""
    world = make(tmp_path_factory.mktemp("tuned"), exported, empty_home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRIMEGUARD_HOME", str(world.home))
        note_days(world, patch)
        done = crimeguard("tune", *world.words(6), "--json")
    assert done.code == 0, done.err
    return world, json.loads(done.out)


@pytest.fixture
def fresh(
    exported: pl.DataFrame, empty_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> World:
    world = make(tmp_path, exported, empty_home)
    monkeypatch.setenv("CRIMEGUARD_HOME", str(world.home))
    return world


def shown(home: Path) -> tuple[Any, list[Any]]:
    """Return the parent run in MLflow and those nested in it, by their number."""
    client = open_registry(Settings(home=home))._client
    place = client.get_experiment_by_name("crimeguard-tuning").experiment_id
    runs = client.search_runs([place])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [
        run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
    ]
    assert len(children) == len(runs) - 1
    return parent, sorted(children, key=lambda run: int(run.data.tags["crimeguard.trial"]))


def test_the_days_that_train_scores_are_never_touched(world: tuple[World, dict[str, Any]]) -> None:
    made, _ = world
    rows = pl.read_parquet(made.folder / "rows.parquet")
    newest = rows["DATE OCC"].str.slice(0, 10).str.to_date("%m/%d/%Y").max()
    assert newest == dt.date(2023, 2, 28)
    assert max(made.days) == UNTIL


def test_a_search_says_what_it_found(world: tuple[World, dict[str, Any]]) -> None:
    made, told = world
    assert (told["asked"], told["finished"], told["failed"]) == (6, 6, 0)
    assert len(told["trials"]) == 6
    assert told["pruned"] == sum(trial["pruned"] for trial in told["trials"])
    best = min(
        (trial for trial in told["trials"] if not trial["pruned"]), key=lambda t: t["log_loss"]
    )
    assert told["best"]["number"] == best["number"]
    if told["confirm"]:
        assert told["search"]["before"] == pytest.approx(told["trials"][0]["log_loss"])
        assert told["search"]["after"] == pytest.approx(best["log_loss"])
    assert (made.folder / "params.yaml").read_text() == SMALL


def test_each_trial_is_nested_in_one_run_of_mlflow(world: tuple[World, dict[str, Any]]) -> None:
    made, told = world
    parent, children = shown(made.home)
    assert (parent.info.run_name, parent.info.status) == (told["study"], "FINISHED")
    assert parent.data.metrics["log_loss"] == pytest.approx(told["best"]["log_loss"])
    assert [int(run.data.tags["crimeguard.trial"]) for run in children] == [
        trial["number"] for trial in told["trials"]
    ]
    for run, trial in zip(children, told["trials"], strict=True):
        assert run.info.status == "FINISHED"
        assert run.data.params == {name: str(value) for name, value in trial["values"].items()}
        assert run.data.metrics["log_loss"] == pytest.approx(trial["log_loss"])


@pytest.mark.slow
def test_killed_twice_and_resumed_no_trial_is_lost_or_repeated(
    world: tuple[World, dict[str, Any]], fresh: World
) -> None:
    alone, told = world
    cut = 0
    for more, seconds in ((2, 0.3), (1, 0.0)):
        before = trials(fresh.home)
        end = killed(fresh.words(6), fresh.home, more, seconds)
        assert end.died
        assert not lost(before, trials(fresh.home))
        cut += end.running
    before = trials(fresh.home)
    resumed = complete(fresh.words(6), fresh.home)
    assert not lost(before, trials(fresh.home))
    assert (resumed["finished"], resumed["failed"]) == (6, cut)
    assert {item.state for item in trials(fresh.home)} <= {"COMPLETE", "PRUNED", "FAIL"}
    assert [(item.state, item.values, item.days) for item in finished(fresh.home)] == [
        (item.state, item.values, item.days) for item in finished(alone.home)
    ]
    for key in ("study", "search", "confirm", "proposed", "diff"):
        assert resumed[key] == (
            told[key].replace(str(alone.folder), str(fresh.folder)) if key == "diff" else told[key]
        )
    _, children = shown(fresh.home)
    assert [int(run.data.tags["crimeguard.trial"]) for run in children] == [
        item.number for item in finished(fresh.home)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_a_clean_state(how: signal.Signals, fresh: World) -> None:
    process = start(fresh.words(50), fresh.home)
    try:
        end = time.monotonic() + 120
        while not finished(fresh.home) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(how)
        out, err = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 1, err
    assert "Traceback" not in err
    assert "The search was interrupted" in err
    assert "of 50 trials have finished and are kept" in err
    assert out == ""
    kept = trials(fresh.home)
    assert {item.state for item in kept} <= {"COMPLETE", "PRUNED", "FAIL"}
    parent, children = shown(fresh.home)
    assert parent.info.status == "KILLED"
    assert {run.info.status for run in children} == {"FINISHED"}
    assert len(children) == len(finished(fresh.home)) >= 1
    assert not list(fresh.folder.rglob(".params.yaml.*"))


def test_an_interrupt_while_mlflow_is_written_waits_for_the_next_step(
    fresh: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = NestedRuns.note

    def interrupted(self: NestedRuns, trial: Nested) -> None:
        if not self._children:
            signal.raise_signal(signal.SIGTERM)
        note(self, trial)

    monkeypatch.setattr(NestedRuns, "note", interrupted)
    monkeypatch.setattr(Study.run, "__kwdefaults__", {**RUN, "scorer": quickly})
    before = signal.getsignal(signal.SIGTERM)
    refused(crimeguard("tune", *fresh.words(9), "--json"), 1, "1 of 9 trials have finished")
    assert signal.getsignal(signal.SIGTERM) is before
    assert [item.state for item in trials(fresh.home)] == ["COMPLETE", "FAIL"]
    parent, children = shown(fresh.home)
    assert parent.info.status == "KILLED"
    assert [run.info.status for run in children] == ["FINISHED"]


def test_a_gain_is_proposed_as_a_diff_and_made_when_asked(fresh: World) -> None:
    file = fresh.folder / "bad.yaml"
    file.write_text("# mine\n" + BAD.replace("folds: 2}", "folds: 2}  # few", 1))
    (fresh.folder / "better.csv").write_text(BETTER)
    words = fresh.words(2, "bad.yaml", "better.csv")
    before = file.read_text()
    told = crimeguard("tune", *words)
    assert told.code == 0, told.err
    assert "2 of 2 trials finished" in told.err
    assert f"--- {file}" in told.err
    assert "-linear: {iterations: 1, folds: 2}  # few" in told.err
    assert "nothing is changed; --write makes the change" in told.err
    assert file.read_text() == before
    kept = finished(fresh.home)
    done = crimeguard("tune", *words, "--write", "--json")
    assert done.code == 0, done.err
    outcome = json.loads(done.out)
    assert (outcome["proposed"], outcome["written"], outcome["why"]) == (True, True, "")
    assert outcome["confirm"]["gain"]["low"] > 0
    assert finished(fresh.home) == kept
    best = outcome["best"]["values"]["linear.iterations"]
    assert best > 1
    assert file.read_text() == before.replace("iterations: 1,", f"iterations: {best},")
    assert load_params(file).linear.iterations == best
    parent, _ = shown(fresh.home)
    assert parent.data.metrics["proposed"] == 1.0


def test_what_is_no_better_than_chance_is_not_proposed(fresh: World) -> None:
    (fresh.folder / "alike.csv").write_text(ALIKE)
    told = crimeguard("tune", *fresh.words(2, space="alike.csv"), "--write", "--json")
    assert told.code == 0, told.err
    outcome = json.loads(told.out)
    assert (outcome["proposed"], outcome["written"], outcome["diff"]) == (False, False, "")
    assert "within noise" in outcome["why"] or "no trial did better" in outcome["why"]
    assert (fresh.folder / "params.yaml").read_text() == SMALL
    parent, _ = shown(fresh.home)
    assert parent.data.metrics["proposed"] == 0.0
    assert "nothing is proposed" in crimeguard("tune", *fresh.words(2, space="alike.csv")).err


def test_a_file_that_was_changed_meanwhile_is_not_overwritten(
    fresh: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = fresh.folder / "bad.yaml"
    file.write_text(BAD)
    (fresh.folder / "better.csv").write_text(BETTER)

    def edited(*words: Any) -> Model:
        file.write_text(f"{BAD}seed: 5\n")
        return fit_model(*words)

    monkeypatch.setattr(nested, "fit_model", edited)
    words = fresh.words(2, "bad.yaml", "better.csv")
    refused(crimeguard("tune", *words, "--write", "--json"), 2, "has changed since the search")
    assert file.read_text() == f"{BAD}seed: 5\n"


def test_no_time_is_no_trial(fresh: World) -> None:
    told = crimeguard("tune", *fresh.words(3), "--seconds", 0, "--json")
    assert told.code == 0, told.err
    outcome = json.loads(told.out)
    assert (outcome["finished"], outcome["why"]) == (0, "no trial has finished")


def test_two_searches_in_one_home_are_one_too_many(fresh: World) -> None:
    from crimeguard.registry.folder import held

    with held(fresh.home / "tuning", ".lock"):
        refused(crimeguard("tune", *fresh.words(1), "--json"), 1, "Another process")
    assert trials(fresh.home) == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--trials", "0"], 2, "--trials"),
        (["--seconds", "-1"], 2, "--seconds"),
        (["--train-until", "soon"], 2, "not a date"),
        (["--train-until", "2023-01-10"], 1, "too short to tune in"),
        (["--space", "none.csv"], 2, "cannot be read"),
        (["--params", "none.yaml"], 2, "no parameter file"),
    ],
)
def test_a_wrong_call_starts_nothing(words: list[str], code: int, said: str, fresh: World) -> None:
    before = contents(fresh.home / "mlflow")
    refused(crimeguard("tune", *fresh.words(1), *words, "--json"), code, said)
    assert contents(fresh.home / "mlflow") == before
    assert trials(fresh.home) == []


def test_the_page_names_commands_and_settings_that_there_are() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    lines = [line.split("  #")[0] for block in blocks for line in block.splitlines()]
    verbs = get_command(app).commands  # type: ignore[attr-defined]
    named = [shlex.split(line) for line in lines if line.startswith("crimeguard ")]
    assert len(named) >= 2
    for _, verb, *words in named:
        verbs[verb].make_context(verb, words)
    table = dict(re.findall(r"^\| `([a-z_]+)` \| ([\d.]+) \|", PAGE, re.MULTILINE))
    assert {name: float(value) for name, value in table.items()} == {
        name: float(value) for name, value in Params().to_dict()["tuning"].items()
    }
