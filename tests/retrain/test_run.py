"""A retraining from beginning to end, and what becomes of one that is killed on the way.

The training itself is done once; where it is not the subject, what it made is used again.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from crimeguard import pipeline
from crimeguard.domain.errors import RegistryError, UsageError
from crimeguard.pipeline import Trained
from crimeguard.records.database import open_database
from crimeguard.records.ledger import Ledger
from crimeguard.registry import life
from crimeguard.registry.bundle import Bundle
from crimeguard.registry.store import PRODUCTION, STAGING
from crimeguard.retrain import run as module
from crimeguard.retrain.lock import is_locked
from crimeguard.retrain.probe import Probe
from crimeguard.retrain.run import Outcome
from crimeguard.retrain.signals import Forced
from crimeguard.serve.app import create_app
from crimeguard.serve.keys import Scope, make_key
from crimeguard.serve.predictor import Predictor
from crimeguard.serve.slot import Slot
from crimeguard.settings import Settings
from crimeguard.train.params import Params
from tests.conftest import TINY, copy_home
from tests.registry.versions import ACTOR
from tests.retrain.api import listening, serving
from tests.retrain.test_lock import HOLD, start
from tests.retrain.world import DAY, Frozen, alarm, remember, retraining, story, traffic

ROWS = 700
STEPS = ["decision", "training", "gates", "promotion", "probe"]
Use = Callable[[Path], Settings]


class TrainsError(Exception):
    """It came to the training."""


@pytest.fixture(scope="module")
def params(tiny_params: Params) -> Params:
    return replace(tiny_params, retrain=replace(tiny_params.retrain, min_new_rows=ROWS // 2))


@pytest.fixture(scope="module")
def ready(promoted_home: Path, trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with three alarms, and labelled predictions of two new weeks."""
    home = tmp_path_factory.mktemp("ready") / "home"
    copy_home(promoted_home, home)
    database = open_database(Settings(home=home))
    remember(database, traffic(ROWS, start=dt.date(2023, 3, 1)),
             at=dt.datetime.now(dt.UTC) - 10 * DAY)  # fmt: skip
    alarm(Ledger(database), trained.bundle.sha256)
    database.close()
    return home


@dataclass(frozen=True)
class Journey:
    """One retraining that went well, and the home after each of its steps."""

    outcome: Outcome
    trained: Trained
    frozen: Frozen
    lines: list[tuple[str, str | None]]
    names: list[str]

    @property
    def id(self) -> str:
        return self.outcome.decision.id


def go(settings: Settings, params: Params, **given: Any) -> Outcome:
    with retraining(settings, params, given.pop("api_url", None)) as job:
        return job.run(**given)


@pytest.fixture(scope="module")
def journey(ready: Path, params: Params, tmp_path_factory: pytest.TempPathFactory) -> Journey:
    folder = tmp_path_factory.mktemp("journey")
    copy_home(ready, folder / "home")
    frozen = Frozen(folder / "home", folder / "frozen")
    frozen.folder.mkdir()
    names: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        made = frozen.watch(patch)
        with retraining(Settings(home=folder / "home"), params) as job:
            heard = replace(job, progress=lambda name, *_: names.append(name))
            outcome = heard.run()
            lines = story(job.court)
    return Journey(outcome, made[0], frozen, lines, names)


@pytest.fixture
def as_trained(journey: Journey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a training be what the one real training made."""
    monkeypatch.setattr(pipeline, "train", lambda *_, **__: journey.trained)


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def trains(*_: Any, **__: Any) -> None:
        raise TrainsError

    monkeypatch.setattr(pipeline, "train", trains)


def test_with_a_reason_it_trains_judges_promotes_and_probes(
    journey: Journey, trained: Trained, params: Params
) -> None:
    outcome = journey.outcome
    assert outcome.result == "promoted", outcome.to_dict()
    assert (outcome.version, outcome.replaced, outcome.settled) == ("2", "1", "")
    assert journey.lines == [(kind, journey.id) for kind in STEPS]
    assert set(journey.frozen.homes) == {*STEPS, "snapshot", "fitted", "registered", "alias"}
    for name in ("labelled predictions", "reference profile", "register", "gate size", "probe"):
        assert name in journey.names
    split = journey.trained.split
    assert split.train_until >= trained.split.train_until
    assert split.test["date_occ"].max() == dt.date(2023, 3, 14)
    assert split.test.height >= params.checks.min_test_rows
    assert split.train.height + split.test.height == 4000 + ROWS
    told = json.loads(json.dumps(outcome.to_dict(), allow_nan=False))
    assert told["gates"]["passed"] is told["probe"]["passed"] is True
    assert told["decision"]["action"] == "train"
    assert [text[:6] for text in told["decision"]["reasons"]] == ["drift:"]


def test_the_old_one_is_archived_and_the_lines_hold_the_evidence(
    journey: Journey, params: Params, trained: Trained, use_home: Use
) -> None:
    with retraining(use_home(journey.frozen.running), params) as job:
        court = job.court
        stages = [(v.number, v.stage, v.aliases) for v in court.registry.versions()]
        lines = {line.kind: line for line in court.ledger.entries() if line.decision_id}
    assert stages == [("2", "Production", (PRODUCTION,)), ("1", "Archived", ())]
    old, new = trained.bundle.sha256, journey.trained.bundle.sha256
    assert {line.who for line in lines.values()} == {"policy"}
    assert lines["decision"].subject == old
    assert lines["decision"].evidence["new_labelled"] == ROWS
    assert lines["training"].subject == lines["gates"].subject == lines["probe"].subject == new
    assert lines["training"].evidence["champion"] == old
    facts = lines["decision"].evidence["facts"]
    assert lines["training"].evidence["data"] == facts["data"]
    assert lines["gates"].evidence["champion"] == old
    assert lines["promotion"].evidence["replaced"] == old
    assert lines["probe"].evidence["checks"][0].endswith("golden rows answered from the bundle")


@pytest.mark.usefixtures("no_training")
def test_what_came_through_is_not_done_again(
    journey: Journey, params: Params, use_home: Use
) -> None:
    settings = use_home(journey.frozen.running)
    outcome = go(settings, params)
    assert outcome.result == "skip"
    said = [text.split(":")[0] for text in outcome.decision.reasons]
    assert said[:2] == ["persistence", "cool-down"]
    assert outcome.settled == ""
    with retraining(settings, params) as job:
        line = job.court.ledger.entries("decision")[-1]
    # What was held out, the champion has not been trained on.
    assert line.evidence["new_labelled"] == journey.trained.split.test.height


@pytest.mark.usefixtures("no_training")
def test_without_alarms_it_skips_and_says_so(params: Params, home: Callable[[], Settings]) -> None:
    settings = home()
    with retraining(settings, params) as job:
        outcome = job.run()
        lines = job.court.ledger.entries("decision")
    assert outcome == Outcome("skip", outcome.decision)
    assert [text.split(":")[0] for text in outcome.decision.reasons] == ["persistence", "rows"]
    assert [line.evidence["action"] for line in lines] == ["skip"]
    with pytest.raises(TrainsError):
        go(settings, params, forced=Forced("ada", "to see"))
    with retraining(settings, params) as job:
        line = job.court.ledger.entries("decision")[-1]
    assert (line.who, line.evidence["action"]) == ("ada", "train")
    assert line.why == "forced: ada asks for it: to see"


@pytest.mark.usefixtures("no_training")
def test_without_a_champion_it_is_blocked_whoever_asks(
    empty_home: Path, use_home: Use, params: Params
) -> None:
    outcome = go(use_home(empty_home), params, forced=Forced("ada", "to see"))
    assert outcome.result == "block"
    assert [text.split(":")[0] for text in outcome.decision.reasons] == ["champion"]


@pytest.mark.usefixtures("no_training")
def test_while_another_process_trains_it_is_blocked_and_says_only_that(
    ready: Path, params: Params, use_home: Use
) -> None:
    settings = use_home(ready)
    other = start(HOLD.format(then="pass"), settings.home)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        outcome = go(settings, params)
        with retraining(settings, params) as job:
            line = job.court.ledger.entries("decision")[-1]
    finally:
        other.kill()
        other.communicate()
    assert outcome.result == "block"
    assert [text.split(":")[0] for text in outcome.decision.reasons] == ["locked"]
    assert line.evidence["action"] == "block"
    assert len(line.subject) == 64
    with pytest.raises(TrainsError):
        go(settings, params)


@pytest.mark.usefixtures("as_trained")
def test_what_a_gate_refuses_stays_in_staging_and_is_not_made_again_already_trained(
    ready: Path, params: Params, use_home: Use, journey: Journey
) -> None:
    settings = use_home(ready)
    strict = replace(params, gates=replace(params.gates, max_bytes=1))
    outcome = go(settings, strict)
    assert (outcome.result, outcome.version, outcome.probe) == ("refused", "2", None)
    assert outcome.judgement is not None
    assert outcome.judgement.refused == ("size",)
    again = go(settings, strict)
    with retraining(settings, strict) as job:
        registry = job.court.registry
        assert registry.version_of(PRODUCTION) == "1"
        assert registry.version_of(STAGING) == "2"
        assert [kind for kind, _ in story(job.court)] == [*STEPS[:3], "decision"]
    assert again.result == "block"
    assert [text.split(":")[0] for text in again.decision.reasons] == ["unchanged"]
    # With other bounds it would be another judgement.
    forced = go(settings, params, forced=Forced("ada", "the bound was a mistake"))
    assert forced.result == "promoted"


async def answers_500(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.mark.usefixtures("as_trained")
def test_a_probe_that_fails_takes_it_back_already_trained(
    ready: Path, params: Params, use_home: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(use_home(ready), follow_seconds=0.1)
    monkeypatch.setattr(module, "_PATIENCE", 0.5)
    with listening(answers_500) as url:
        outcome = go(settings, params, api_url=url)
    assert outcome.result == "rolled back"
    assert outcome.probe is not None
    assert "HTTP 500" in outcome.probe.why
    with retraining(settings, params) as job:
        court = job.court
        assert court.registry.version_of(PRODUCTION) == "1"
        stages = [v.stage for v in court.registry.versions()]
        assert story(court) == [(kind, outcome.decision.id) for kind in (*STEPS, "rollback")]
        line = court.ledger.entries("rollback")[-1]
    assert stages == ["Archived", "Production"]
    assert line.evidence["replaced_version"] == "2"
    assert "HTTP 500" in line.why
    again = go(settings, params)
    assert (again.result, again.settled) == ("block", "")
    assert [text.split(":")[0] for text in again.decision.reasons] == ["unchanged"]


def serves_on(settings: Settings, params: Params) -> None:
    """Check that what is in production is version 1, whole, and that nobody holds the lock."""
    with retraining(settings, params) as job:
        assert job.court.registry.version_of(PRODUCTION) == "1"
        assert job.court.champion() is not None
    assert not is_locked(settings.home)


@pytest.mark.usefixtures("no_training")
def test_killed_before_the_decision_it_begins_anew(
    ready: Path, params: Params, journey: Journey, use_home: Use
) -> None:
    settings = use_home(ready)
    serves_on(settings, params)
    with pytest.raises(TrainsError):
        go(settings, params)
    with retraining(settings, params) as job:
        assert story(job.court) == [("decision", journey.id)]


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    "step", ["decision", "snapshot", "fitted", "training", "registered", "gates"]
)
def test_killed_before_the_alias_moved_it_trains_under_the_same_id(
    step: str, params: Params, journey: Journey, use_home: Use
) -> None:
    settings = use_home(journey.frozen.homes[step])
    serves_on(settings, params)
    with retraining(settings, params) as job:
        before = story(job.court)
        with pytest.raises(TrainsError):
            job.run()
        assert story(job.court) == [*before, ("decision", journey.id)]
        assert job.court.registry.version_of(PRODUCTION) == "1"


@pytest.mark.usefixtures("as_trained")
def test_killed_after_the_gates_the_next_run_goes_all_the_way_already_trained(
    params: Params, journey: Journey, use_home: Use
) -> None:
    settings = use_home(journey.frozen.homes["gates"])
    outcome = go(settings, params)
    assert (outcome.result, outcome.version, outcome.replaced) == ("promoted", "3", "1")
    with retraining(settings, params) as job:
        assert [kind for kind, _ in story(job.court)] == [*STEPS[:3], *STEPS]
        assert {decision for _, decision in story(job.court)} == {journey.id}
        # Two versions are of the same bundle: what is taken back is the one that stood.
        assert life.rollback(job.court, ACTOR).version == "1"


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("step", ["alias", "promotion"])
def test_killed_in_the_promotion_the_next_run_writes_it_down_and_probes(
    step: str, params: Params, journey: Journey, trained: Trained, use_home: Use
) -> None:
    settings = use_home(journey.frozen.homes[step])
    with retraining(settings, params) as job:
        outcome = job.run()
        lines = story(job.court)
        change = life.changes(job.court.ledger)[-1]
        assert job.court.registry.version_of(PRODUCTION) == "2"
    assert (outcome.settled, outcome.result) == ("probe", "skip")
    assert lines[:5] == [(kind, journey.id) for kind in STEPS]
    assert [kind for kind, _ in lines[5:]] == ["decision"]
    assert change.subject == journey.trained.bundle.sha256
    assert change.evidence == {
        "version": "2", "replaced": trained.bundle.sha256, "replaced_version": "1",
    }  # fmt: skip


@pytest.fixture(scope="module")
def failed(
    journey: Journey, params: Params, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Outcome, Frozen]:
    """The same retraining, killed after the promotion, with an API that serves on the old one."""
    folder = tmp_path_factory.mktemp("failed")
    copy_home(journey.frozen.homes["promotion"], folder / "home")
    frozen = Frozen(folder / "home", folder / "frozen")
    frozen.folder.mkdir()
    settings = Settings(home=folder / "home", follow_seconds=0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PATIENCE", 0.3)
        with retraining(settings, params) as job:
            slot = Slot()
            old = job.court.registry.fetch_version("1", into=job.court.bundles)
            slot.swap(Predictor(Bundle.load(old)))
            with serving(slot, folder) as url:
                frozen.watch(patch)
                outcome = dataclasses.replace(job, api_url=url).run()
    return outcome, frozen


def test_an_api_that_does_not_change_over_takes_it_back_in_the_next_run_as_well(
    failed: tuple[Outcome, Frozen], journey: Journey, params: Params, use_home: Use
) -> None:
    outcome, frozen = failed
    assert (outcome.settled, outcome.result) == ("rollback", "block")
    assert [text.split(":")[0] for text in outcome.decision.reasons] == ["unchanged"]
    settings = use_home(frozen.running)
    serves_on(settings, params)
    with retraining(settings, params) as job:
        kinds = [kind for kind, decision in story(job.court) if decision == journey.id]
        assert kinds == [*STEPS, "rollback"]
        assert "still served" in job.court.ledger.entries("rollback")[-1].why


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("step", ["probe", "alias"])
def test_killed_on_the_way_back_the_next_run_goes_back_and_writes_it_down(
    step: str, failed: tuple[Outcome, Frozen], journey: Journey, params: Params,
    trained: Trained, use_home: Use,
) -> None:  # fmt: skip
    settings = use_home(failed[1].homes[step])
    with retraining(settings, params) as job:
        registry = job.court.registry
        assert registry.version_of(PRODUCTION) == ("2" if step == "probe" else "1")
        outcome = job.run()
        kinds = [kind for kind, decision in story(job.court) if decision == journey.id]
        line = life.changes(job.court.ledger)[-1]
        assert registry.version_of(PRODUCTION) == "1"
    assert (outcome.settled, outcome.result) == ("rollback", "block")
    assert kinds == [*STEPS, "rollback"]
    assert line.subject == trained.bundle.sha256
    assert line.evidence == {
        "version": "1", "replaced": journey.trained.bundle.sha256, "replaced_version": "2",
    }  # fmt: skip


@pytest.mark.usefixtures("no_training")
def test_what_a_person_has_changed_since_is_not_taken_back(
    failed: tuple[Outcome, Frozen], journey: Journey, params: Params, use_home: Use
) -> None:
    settings = use_home(failed[1].homes["probe"])
    with retraining(settings, params) as job:
        life.rollback(job.court, ACTOR)
        outcome = job.run()
        assert (outcome.settled, outcome.result) == ("", "block")
        assert [line.who for line in life.changes(job.court.ledger)][-1] == ACTOR.who


def test_what_cannot_be_settled_is_said_and_nothing_moves(
    failed: tuple[Outcome, Frozen], params: Params, use_home: Use,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    settings = use_home(failed[1].homes["probe"])
    monkeypatch.setattr(life, "number_of", lambda *_: None)
    with retraining(settings, params) as job:
        with pytest.raises(RegistryError, match="cannot be settled"):
            job.run()
        assert job.court.registry.version_of(PRODUCTION) == "2"
    assert not is_locked(settings.home)


def probe_that(passes: bool) -> Callable[..., Probe]:
    return lambda *_, **__: Probe(passes, ["asked"], "" if passes else "it is silent")


@pytest.mark.usefixtures("no_training")
def test_the_bundle_registered_again_does_not_stand_in_the_way_of_going_back(
    journey: Journey, params: Params, trained: Trained, use_home: Use,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The newest version of the old bundle may be one that was never in production."""
    settings = use_home(journey.frozen.homes["promotion"])
    monkeypatch.setattr(module, "probe", probe_that(passes=False))
    with retraining(settings, params) as job:
        from crimeguard.registry.store import Run

        assert job.court.registry.register(trained.bundle, Run({}, {}, {})) == "3"
        assert job.run().settled == "rollback"
        assert job.court.registry.version_of(PRODUCTION) == "1"


@pytest.mark.slow
def test_kill_9_of_a_real_one_leaves_the_champion_and_the_next_takes_it_up(
    ready: Path, params: Params, use_home: Use, journey: Journey, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    settings = use_home(ready)
    small = {**TINY, "retrain": {"min_new_rows": params.retrain.min_new_rows}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(small))
    child = subprocess.Popen(
        [sys.executable, "-m", "crimeguard", "retrain"], cwd=tmp_path,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CRIMEGUARD_HOME": str(settings.home),
             "CRIMEGUARD_API_URL": "http://127.0.0.1:9"},
    )  # fmt: skip
    try:
        with retraining(settings, params) as job:
            until = time.monotonic() + 90
            while not job.court.ledger.entries("decision"):
                assert child.poll() is None
                assert time.monotonic() < until
                time.sleep(0.02)
        assert is_locked(settings.home)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    serves_on(settings, params)

    def trains(*_: Any, **__: Any) -> None:
        raise TrainsError

    monkeypatch.setattr(pipeline, "train", trains)
    with pytest.raises(TrainsError):
        go(settings, params)
    with retraining(settings, params) as job:
        assert story(job.court) == [("decision", journey.id)] * 2


def test_an_api_that_does_not_let_the_probe_ask_ends_it_before_anything_is_written(
    params: Params, home: Callable[[], Settings], tmp_path: Path
) -> None:
    settings = home()
    secret, key = make_key("retrain", [Scope.PREDICT])
    keyed = Settings(home=tmp_path / "api", api_keys=key.entry())
    with listening(create_app(keyed, Slot())) as url:
        with retraining(settings, params, url) as run:
            with pytest.raises(UsageError, match="does not let the probe ask"):
                run.run()
            assert story(run.court) == []
        with retraining(replace(settings, api_key=secret), params, url) as run:
            assert run.run().result == "skip"
