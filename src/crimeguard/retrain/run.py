"""One retraining: asked for, decided, and carried through to production or refused.

Every step is a line in the ledger before the next begins, so that a run that is killed
can be told from one that ended (docs/retraining.md has the table).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from crimeguard import pipeline
from crimeguard.domain.errors import RegistryError
from crimeguard.evaluate.gates import Judgement
from crimeguard.ingest.snapshot import write_snapshot
from crimeguard.records.database import Database
from crimeguard.registry import life
from crimeguard.registry.bundle import Bundle
from crimeguard.registry.judging import Actor, Court, HeldOut
from crimeguard.registry.signature import signing_key
from crimeguard.registry.store import PRODUCTION
from crimeguard.retrain.data import Material, changed_mix, gather, train_until
from crimeguard.retrain.lock import LockedError, retraining_lock
from crimeguard.retrain.policy import Decision, decide, evidence
from crimeguard.retrain.probe import Probe, is_running, probe, require_admitted
from crimeguard.retrain.signals import Forced, Signals, Unsettled, collect, unsettled

POLICY: Final = "policy"
_PATIENCE: Final = 60.0  # seconds that an API may take to change over, besides its rhythm
Result = Literal["block", "skip", "refused", "promoted", "rolled back"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a retraining ended; what it did not come to is None.

    `settled` says what an earlier run, killed on the way, had left undone.
    """

    result: Result
    decision: Decision
    settled: str = ""
    version: str | None = None
    replaced: str | None = None
    judgement: Judgement | None = None
    probe: Probe | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as JSON types."""
        return {
            "result": self.result,
            "decision": {
                "id": self.decision.id,
                "action": self.decision.action,
                "reasons": list(self.decision.reasons),
            },
            "settled": self.settled,
            "version": self.version,
            "replaced": self.replaced,
            "gates": None if self.judgement is None else self.judgement.to_dict(),
            "probe": None if self.probe is None else self.probe.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class Retraining:
    """Everything that a retraining works with.

    `api_url` is where the API that follows the registry answers, None if there is none to
    ask; `now` tells the time.
    """

    court: Court
    database: Database
    api_url: str | None
    progress: pipeline.Progress = pipeline.silent
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)

    def run(self, forced: Forced | None = None) -> Outcome:
        """Decide whether to train again, and if so do all that follows."""
        home = self.court.settings.home
        try:
            with retraining_lock(home):
                if self.api_url is not None:
                    require_admitted(self.api_url, self.court.settings.api_headers)
                settled = self._settle()
                return replace(self._decide_and_train(forced), settled=settled)
        except LockedError:
            signals = self._signals(self.court.champion(), None, forced, locked=True)
            return Outcome("block", self._decide(signals))

    def _decide_and_train(self, forced: Forced | None) -> Outcome:
        champion = self.court.champion()
        material = None if champion is None else self._gather()
        decision = self._decide(self._signals(champion, material, forced))
        if decision.action != "train" or champion is None or material is None:
            return Outcome("skip" if decision.action == "skip" else "block", decision)
        return self._train(champion, material, decision)

    def _gather(self) -> Material:
        self.progress("labelled predictions", 0, 1)
        return gather(self.database, self.court.settings.home, self.court.params, self.now())

    def _signals(
        self, champion: Bundle | None, material: Material | None, forced: Forced | None,
        *, locked: bool = False,
    ) -> Signals:  # fmt: skip
        new = 0
        if champion is not None and material is not None:
            new = material.newer_than(_trained_until(champion))
        return collect(
            self.court.ledger, self.court.params.retrain,
            champion=None if champion is None else champion.sha256,
            reference=champion is not None,
            data="" if material is None else material.digest(self.court.params),
            new_labelled=new, now=self.now(), locked=locked, forced=forced,
        )  # fmt: skip

    def _decide(self, signals: Signals) -> Decision:
        params = self.court.params.retrain
        decision = decide(signals, params)
        who = POLICY if signals.forced is None else signals.forced.who
        self.court.ledger.append(
            "decision", subject=signals.champion or "", who=who,
            why=" ".join(decision.reasons), evidence=evidence(decision, signals, params),
            decision_id=decision.id,
        )  # fmt: skip
        return decision

    def _train(self, champion: Bundle, material: Material, decision: Decision) -> Outcome:
        court, actor = self.court, Actor(POLICY, " ".join(decision.reasons), decision.id)
        signing = signing_key(court.settings)
        frame = material.frame()
        known = _trained_until(champion)
        until = train_until(frame, known, court.params, material.first_newer_than(known))
        source = f"{material.snapshot.id} and {material.labelled.height:,} labelled predictions"
        snapshot = write_snapshot(frame, court.settings.home, source=source)
        mix = changed_mix(frame, champion, until, court.params)
        trained = pipeline.train(
            snapshot, court.params, court.settings.home, train_until=until, mix=mix,
            signing=signing, progress=self.progress,
        )  # fmt: skip
        court.ledger.append(
            "training", subject=trained.bundle.sha256, who=actor.who, why=actor.why,
            evidence={
                "data": material.digest(court.params), "champion": champion.sha256,
                "snapshot": snapshot.id, "train_until": until,
                "mix_adjusted": mix is not None,
                "rows": trained.split.train.height, "metrics": trained.evaluation.metrics(),
            },
            decision_id=decision.id,
        )  # fmt: skip
        self.progress("register", 0, 1)
        number = pipeline.register(trained, snapshot, court.registry)
        held_out = HeldOut(trained.split.train, trained.split.test, trained.evaluation)
        judgement = court.judge(
            number, actor, held_out=held_out,
            on_gate=lambda name: self.progress(f"gate {name}", 0, 1),
        )  # fmt: skip
        if not judgement.passed:
            return Outcome("refused", decision, version=number, judgement=judgement)
        outcome = Outcome("promoted", decision, version=number, judgement=judgement)
        return self._promote(outcome, trained.bundle, judgement, actor)

    def _promote(
        self, outcome: Outcome, bundle: Bundle, judgement: Judgement, actor: Actor
    ) -> Outcome:
        was_running = self.api_url is not None and is_running(self.api_url)
        change = life.promote(self.court, str(outcome.version), judgement, actor)
        found = self._probe(bundle, actor, was_running=was_running)
        if not found.passed:
            self._go_back(str(change.replaced), found, actor)
            return replace(outcome, result="rolled back", probe=found)
        return replace(outcome, replaced=change.replaced, probe=found)

    def _probe(self, bundle: Bundle, actor: Actor, *, was_running: bool = False) -> Probe:
        self.progress("probe", 0, 1)
        patience = _PATIENCE + 2 * self.court.settings.follow_seconds
        found = probe(bundle, self.api_url, patience, was_running=was_running,
                      headers=self.court.settings.api_headers)  # fmt: skip
        self.court.ledger.append(
            "probe", subject=bundle.sha256, who=actor.who,
            why=found.why or "it answers as it should", evidence=found.to_dict(),
            decision_id=actor.decision_id,
        )  # fmt: skip
        return found

    def _go_back(self, to: str, found: Probe, actor: Actor) -> life.Change:
        why = f"The probe failed: {found.why}"
        return life.rollback(self.court, replace(actor, why=why), to=to)

    def _settle(self) -> str:
        """Finish what a run that was killed had left undone in production."""
        court = self.court
        number = court.registry.version_of(PRODUCTION)
        sha256 = None if number is None else court.registry.sha256_of(number)
        left = unsettled(court.ledger, sha256)
        if left is None:
            return ""
        self.progress("settle what was left undone", 0, 1)
        actor = Actor(POLICY, "An earlier run was killed.", left.decision_id)
        before = life.number_of(court, left.before)
        if before is None:
            raise RegistryError("A retraining that was killed cannot be settled.",
                                why="The registry lacks the version that was in production "
                                "before it.",
                                fix="`crimeguard history`, then promote or roll back by "
                                "hand.")  # fmt: skip
        if left.step == "rollback":
            self._finish_rollback(left, before, actor, done=sha256 == left.before)
            return "rollback"
        if left.step == "promotion":
            # Of several versions of the same bundle it is the one that the alias names.
            change = life.Change(str(number), left.challenger, before, left.before)
            life.note(court.ledger, "promotion", change, actor)
        champion = court.champion()
        found = None if champion is None else self._probe(champion, actor)
        if found is not None and not found.passed:
            self._go_back(before, found, actor)
            return "rollback"
        return "probe"

    def _finish_rollback(self, left: Unsettled, before: str, actor: Actor, *, done: bool) -> None:
        if not done:
            life.rollback(self.court, actor, to=before)
            return
        challenger = life.number_of(self.court, left.challenger)
        change = life.Change(before, left.before, challenger, left.challenger)
        life.note(self.court.ledger, "rollback", change, actor)


def _trained_until(bundle: Bundle) -> dt.date:
    return dt.date.fromisoformat(bundle.card["trained"]["last"])
