from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from crimeguard.domain.errors import BundleError, GateRefusedError, RegistryError
from crimeguard.evaluate.gates import GATES, Judgement
from crimeguard.records.ledger import LedgerEntry
from crimeguard.registry.judging import Actor, Court
from crimeguard.registry.life import (
    Change,
    changes,
    in_production,
    note,
    number_of,
    promote,
    require,
    rollback,
    staged,
)
from crimeguard.registry.store import PRODUCTION, STAGING
from tests.registry.versions import ACTOR, judged


def state(court: Court) -> tuple[str | None, str | None, list[tuple[str, object]]]:
    """Return what is in production and in staging, and what the ledger says of changes."""
    lines = [(line.kind, line.evidence["version"]) for line in changes(court.ledger)]
    return court.registry.version_of(PRODUCTION), court.registry.version_of(STAGING), lines


BEFORE = ("1", "3", [("promotion", "1")])


def put(court: Court, *numbers: str) -> None:
    for number in numbers:
        promote(court, number, judged(court, number), ACTOR)


def test_what_every_gate_lets_through_goes_to_production_with_a_line(court: Court) -> None:
    assert state(court) == BEFORE
    actor = Actor("policy", "drift", "d1")
    change = promote(court, staged(court.registry), judged(court, "3"), actor)
    first, third = (court.registry.sha256_of(number) for number in ("1", "3"))
    assert change == Change("3", third, "1", first)
    assert state(court) == ("3", None, [("promotion", "1"), ("promotion", "3")])
    assert [v.stage for v in court.registry.versions()] == ["Production", "Staging", "Archived"]
    line = changes(court.ledger)[-1]
    assert (line.subject, line.who, line.why, line.decision_id) == (third, "policy", "drift", "d1")
    assert line.evidence == {"version": "3", "replaced": first, "replaced_version": "1"}


def test_each_gate_that_refuses_is_enough_and_is_named(court: Court) -> None:
    for gate in GATES:
        with pytest.raises(GateRefusedError, match=f"1 of {len(GATES)} gates: {gate}") as caught:
            require(judged(court, "3", refused=[gate]))
        assert caught.value.why == f"{gate}: {gate} found it so."
        assert caught.value.exit_code == 3
    require(judged(court, "3"))


def test_a_refused_version_stays_where_it_is(court: Court) -> None:
    with pytest.raises(GateRefusedError, match="2 of"):
        promote(court, "3", judged(court, "3", refused=["size", "champion"]), ACTOR)
    assert state(court) == BEFORE


def test_a_judgement_that_lacks_a_gate_is_none(court: Court) -> None:
    whole = judged(court, "3")
    part = Judgement(whole.challenger, whole.champion, whole.verdicts[1:])
    with pytest.raises(GateRefusedError):
        promote(court, "3", part, ACTOR)
    assert state(court) == BEFORE


def test_a_judgement_of_another_version_is_none(court: Court) -> None:
    with pytest.raises(GateRefusedError, match="not of version 3"):
        promote(court, "3", judged(court, "2"), ACTOR)
    assert state(court) == BEFORE


def test_a_judgement_against_what_is_no_longer_in_production_is_none(court: Court) -> None:
    stale = judged(court, "3")
    put(court, "2")
    after = state(court)
    with pytest.raises(GateRefusedError, match="what is in production"):
        promote(court, "3", stale, ACTOR)
    assert state(court) == after
    put(court, "3")
    assert state(court)[0] == "3"


def test_a_judgement_without_a_champion_does_not_replace_one(court: Court) -> None:
    alone = judged(court, "1")
    with pytest.raises(GateRefusedError):
        promote(court, "3", Judgement(judged(court, "3").challenger, None, alone.verdicts), ACTOR)
    assert state(court) == BEFORE


def test_what_is_in_production_may_be_promoted_again(court: Court) -> None:
    assert promote(court, "1", judged(court, "1"), ACTOR).replaced is None
    assert state(court)[:2] == ("1", "3")


def test_nothing_in_staging(court: Court) -> None:
    put(court, "3")
    with pytest.raises(RegistryError, match="no version in staging"):
        staged(court.registry)


def test_rollback_goes_one_back_and_twice_goes_two(court: Court) -> None:
    put(court, "3", "2")
    second, third = (court.registry.sha256_of(number) for number in ("2", "3"))
    assert rollback(court, ACTOR) == Change("3", third, "2", second)
    assert rollback(court, Actor("eve", "worse still")).version == "1"
    assert state(court) == ("1", None, [
        ("promotion", "1"), ("promotion", "3"), ("promotion", "2"),
        ("rollback", "3"), ("rollback", "1"),
    ])  # fmt: skip
    line = changes(court.ledger)[-1]
    assert (line.who, line.why) == ("eve", "worse still")
    assert line.evidence["replaced"] == third
    assert [v.stage for v in court.registry.versions()] == ["Archived", "Archived", "Production"]
    with pytest.raises(RegistryError, match="no version to go back to"):
        rollback(court, ACTOR)
    assert state(court)[0] == "1"


def test_after_a_way_back_what_is_promoted_stands_on_what_was_put_back(court: Court) -> None:
    put(court, "3")
    rollback(court, ACTOR)
    put(court, "2")
    assert rollback(court, ACTOR).version == "1"


def test_a_version_that_was_in_production_can_be_named(court: Court) -> None:
    put(court, "3", "2")
    assert rollback(court, ACTOR, to="1").replaced == "2"
    with pytest.raises(RegistryError, match="no version to go back to"):
        rollback(court, ACTOR)
    assert rollback(court, ACTOR, to="2").version == "2"


def test_what_was_never_in_production_is_not_put_there_past_the_gates(court: Court) -> None:
    with pytest.raises(RegistryError, match="Version 3 has never been in production") as caught:
        rollback(court, ACTOR, to="3")
    assert "crimeguard promote" in caught.value.fix
    with pytest.raises(RegistryError, match="no version 9"):
        rollback(court, ACTOR, to="9")
    assert state(court) == BEFORE


def test_there_is_nothing_to_go_back_to_from_the_first(court: Court) -> None:
    with pytest.raises(RegistryError, match="no version to go back to"):
        rollback(court, ACTOR)
    assert state(court) == BEFORE


def spoil(court: Court, number: str) -> None:
    """Change a byte of a version's weights, in the registry and in the copy of it."""
    name = f"{court.registry.sha256_of(number)[:12]}/linear.npy"
    run_id = next(v.run_id for v in court.registry.versions() if v.number == number)
    kept = [path for path in (court.settings.home / "mlflow").rglob("linear.npy")
            if run_id in str(path) or _model_of(court, number) in str(path)]  # fmt: skip
    assert kept
    for file in (*kept, court.bundles / name):
        if file.exists():
            content = bytearray(file.read_bytes())
            content[-1] ^= 1
            file.write_bytes(content)


def _model_of(court: Court, number: str) -> str:
    """Return the folder that MLflow keeps the files of a version in."""
    from mlflow import MlflowClient

    source = MlflowClient(court.registry.uri).get_model_version("crimeguard", number).source
    return str(source).rsplit("/", 1)[-1]


def test_a_damaged_old_bundle_is_not_put_back(court: Court) -> None:
    put(court, "3")
    after = state(court)
    spoil(court, "1")
    with pytest.raises(BundleError, match="not what the manifest says"):
        rollback(court, ACTOR)
    assert state(court) == after


def test_a_first_version_older_than_the_ledger_can_be_put_back(court: Court) -> None:
    """As of a home that was made before there was a ledger."""
    put(court, "3")
    with_ledger = changes(court.ledger)
    assert with_ledger[0].evidence["version"] == "1"

    class Younger:
        def entries(self, *_: object, **__: object) -> list[LedgerEntry]:
            return with_ledger[1:]

        append = court.ledger.append

    younger = Court(court.registry, Younger(), court.settings, court.params)  # type: ignore[arg-type]
    assert rollback(younger, ACTOR).version == "1"
    assert court.registry.version_of(PRODUCTION) == "1"


def test_of_several_versions_of_a_bundle_the_one_that_stood_in_production_is_meant(
    court: Court, tmp_path: Path
) -> None:
    from crimeguard.registry.bundle import Bundle
    from crimeguard.registry.store import Run

    again = Bundle.load(court.registry.fetch_version("1", into=tmp_path))
    assert court.registry.register(again, Run({}, {}, {})) == "4"
    assert number_of(court, again.sha256) == "1"
    assert number_of(court, court.registry.sha256_of("3")) == "3"
    assert number_of(court, "f" * 64) is None
    put(court, "3")
    assert number_of(court, again.sha256) == "1"


DAY = dt.timedelta(days=1)
MAY = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)


def test_what_was_in_production_at_a_moment(court: Court) -> None:
    for days, number in ((1, "2"), (3, "3"), (3.5, "2")):
        court.ledger.append(
            "promotion", subject=number * 64, who="ada", why="to see",
            evidence={"version": number}, at=MAY + days * DAY,
        )  # fmt: skip
    court.ledger.append("gates", subject="9" * 64, who="ada", why="", evidence={}, at=MAY + 2 * DAY)

    def at(days: float) -> object:
        line = in_production(court.ledger, MAY + days * DAY)
        return None if line is None else line.evidence["version"]

    assert at(0) is None
    assert at(1) is None  # not yet: it is what was before the moment that counts
    assert [at(1.1), at(2.5), at(3.2), at(3.6), at(4)] == ["2", "2", "3", "2", "2"]


def test_a_change_noted_is_the_change_made(court: Court) -> None:
    note(court.ledger, "rollback", Change("1", "a" * 64, "2", "b" * 64), ACTOR)
    line = changes(court.ledger)[-1]
    assert (line.kind, line.subject) == ("rollback", "a" * 64)
    assert line.evidence == {"version": "1", "replaced": "b" * 64, "replaced_version": "2"}
