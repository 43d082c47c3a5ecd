from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from crimeguard.domain.errors import BundleError, RegistryError
from crimeguard.evaluate.evaluation import evaluate_model
from crimeguard.evaluate.gates import GATES, Judgement
from crimeguard.ingest.snapshot import write_snapshot
from crimeguard.pipeline import Trained
from crimeguard.registry.bundle import Bundle, write_bundle
from crimeguard.registry.judging import Actor, Court, HeldOut
from crimeguard.registry.store import PRODUCTION, STAGING, Run
from crimeguard.settings import Settings
from crimeguard.train.params import Params
from tests.conftest import copy_home
from tests.registry.versions import ACTOR, other_bundle, sitting

ACTED = Actor("policy", "drift", "d1")


@dataclass(frozen=True)
class Sat:
    """What one judgement of version 3 left behind."""

    court: Court
    judgement: Judgement
    heard: list[str]


@pytest.fixture(scope="module")
def sat(
    three_versions: Path, tiny_params: Params, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sat]:
    home = tmp_path_factory.mktemp("judged") / "home"
    copy_home(three_versions, home)
    heard: list[str] = []
    with sitting(Settings(home=home), tiny_params) as court:
        yield Sat(court, court.judge("3", ACTED, on_gate=heard.append), heard)


def test_every_gate_is_asked_on_the_hold_out_of_the_versions_own_training(
    sat: Sat, trained: Trained
) -> None:
    assert sat.judgement.passed, sat.judgement.why
    assert sat.heard == ["hold-out", *GATES]
    assert sat.judgement.challenger.sha256 == sat.court.registry.sha256_of("3")
    assert sat.judgement.champion is not None
    assert sat.judgement.champion.sha256 == trained.bundle.sha256
    line = sat.court.ledger.entries("gates")[-1]
    checks = {c["name"]: c["value"] for gate in line.evidence["gates"] for c in gate["checks"]}
    assert checks["rows in the hold-out"] == trained.evaluation.rows
    assert checks["incidents among the training rows"] == trained.split.train.height


def test_the_judgement_is_in_the_ledger_with_its_evidence(sat: Sat) -> None:
    line = sat.court.ledger.entries("gates")[-1]
    assert (line.who, line.why, line.decision_id) == ("policy", "drift", "d1")
    assert line.subject == sat.judgement.challenger.sha256
    assert line.evidence["version"] == "3"
    assert line.evidence["passed"] is True
    assert [gate["gate"] for gate in line.evidence["gates"]] == list(GATES)
    assert Path(line.evidence["page"]).is_file()


def test_its_page_lies_in_the_reports_and_in_mlflow(sat: Sat) -> None:
    from mlflow import MlflowClient

    page = sat.court.settings.home / "reports" / sat.judgement.challenger.sha256[:12] / "gates.html"
    assert sat.judgement.challenger.sha256[:12] in page.read_text()
    run_id = next(v.run_id for v in sat.court.registry.versions() if v.number == "3")
    client = MlflowClient(sat.court.registry.uri)
    assert "gates.html" in {item.path for item in client.list_artifacts(run_id)}


def test_a_judgement_moves_no_alias(sat: Sat) -> None:
    assert sat.court.registry.version_of(PRODUCTION) == "1"
    assert sat.court.registry.version_of(STAGING) == "3"
    assert not sat.court.ledger.entries("promotion")[1:]


def held_out(trained: Trained) -> HeldOut:
    return HeldOut(trained.split.train, trained.split.test, trained.evaluation)


def test_a_refusal_is_kept_as_well_as_a_pass(court: Court, trained: Trained) -> None:
    strict = replace(court.params, checks=replace(court.params.checks, max_ece=1e-6))
    judgement = replace(court, params=strict).judge("3", ACTOR, held_out=held_out(trained))
    assert judgement.refused == ("calibration",)
    evidence = court.ledger.entries("gates")[-1].evidence
    assert (evidence["passed"], evidence["refused"]) == (False, ["calibration"])


def test_a_version_that_leans_is_worse_than_the_champion(court: Court, trained: Trained) -> None:
    """The gates are asked of the version named, against what is in production."""
    strict = replace(court.params, gates=replace(court.params.gates, max_loss=0.001))
    leaning = court.registry.fetch_version("2", into=court.bundles)
    found = evaluate_model(Bundle.load(leaning).model, trained.split.test)
    own = replace(held_out(trained), evaluation=found)
    judgement = replace(court, params=strict).judge("2", ACTOR, held_out=own)
    assert "champion" in judgement.refused


def test_what_is_in_production_is_not_held_against_itself(court: Court, trained: Trained) -> None:
    heard: list[str] = []
    judgement = court.judge("1", ACTOR, held_out=held_out(trained), on_gate=heard.append)
    assert judgement.champion is None
    assert judgement.passed
    assert heard == list(GATES)


def test_the_champion_is_what_is_in_production(court: Court, trained: Trained) -> None:
    found = court.champion()
    assert found is not None
    assert found.sha256 == trained.bundle.sha256
    assert found.path.parent == court.bundles


def test_without_a_champion_the_first_is_judged_alone(
    empty_home: Path, trained: Trained, tiny_params: Params,
    use_home: Callable[[Path], Settings],
) -> None:  # fmt: skip
    with sitting(use_home(empty_home), tiny_params) as empty:
        assert empty.champion() is None
        number = empty.registry.register(trained.bundle, Run({}, {}, {}))
        judgement = empty.judge(number, ACTOR, held_out=held_out(trained))
        assert judgement.champion is None
        assert judgement.passed


def test_a_snapshot_that_is_gone_is_said(court: Court) -> None:
    snapshots = court.settings.home / "snapshots"
    name = next(snapshots.iterdir()).name
    shutil.rmtree(snapshots)
    with pytest.raises(RegistryError, match="cannot be judged") as caught:
        court.judge("3", ACTOR)
    assert name in caught.value.why
    assert "dvc pull" in caught.value.fix
    assert not court.ledger.entries("gates")


def test_a_snapshot_that_was_changed_is_no_hold_out(court: Court) -> None:
    part = next((court.settings.home / "snapshots").rglob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(RegistryError, match="cannot be judged"):
        court.judge("3", ACTOR)


def test_rows_added_later_do_not_move_the_hold_out(court: Court, trained: Trained) -> None:
    """The days are those on the card, whatever other snapshots there are."""
    more = trained.split.test.head(40)
    write_snapshot(more, court.settings.home, source="more")
    found = court._held_out(trained.bundle)
    assert found.test.equals(trained.split.test)
    assert found.train.equals(trained.split.train)


def test_a_version_that_does_not_answer_its_golden_rows_is_not_judged(
    court: Court, trained: Trained, tmp_path: Path
) -> None:
    old = trained.bundle
    golden = {**old.golden, "probabilities": [[1 / 15] * 15] * len(old.golden["records"])}
    liar = write_bundle(old.model, tmp_path / "b", card=old.card, golden=golden,
                        reference=old.reference)  # fmt: skip
    number = court.registry.register(liar, Run({}, {}, {}))
    with pytest.raises(BundleError, match="golden rows"):
        court.judge(number, ACTOR, held_out=held_out(trained))
    assert not court.ledger.entries("gates")


def test_other_bundles_are_other_bytes(trained: Trained, tmp_path: Path) -> None:
    """The helper that the tests of life rest on."""
    same, leaning = (
        other_bundle(trained, tmp_path, "x", lean=lean).golden["probabilities"]
        for lean in (0.0, 1.0)
    )
    assert same == trained.bundle.golden["probabilities"]
    assert leaning[0][0] > same[0][0]
