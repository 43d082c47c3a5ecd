"""Steps in the life of an experiment; the ledger holds them, so that all processes agree.

Lines of kind `experiment` carry the experiment's id as their decision, and what happened in
`evidence["event"]`: `started` (once), `refused` (a process could not use the challenger),
`decided` (the labels say which is better), `stopped` (once, the end).
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import polars as pl

from crimeguard.domain.errors import CrimeGuardError
from crimeguard.evaluate.experiment import Finding, Outcomes, Verdict, judge_experiment
from crimeguard.evaluate.experiment_plan import Plan
from crimeguard.records.database import Database
from crimeguard.records.ledger import Ledger, LedgerEntry
from crimeguard.records.trial import Counted, count_trial, read_trial
from crimeguard.registry.contest import Contest, Wanted

KIND: Final = "experiment"
Event = Literal["started", "refused", "decided", "stopped"]
_SAID: Final = ("verdict", "finding", "request_id")
_FOUND: Final[Mapping[Verdict, str]] = {
    "better": "the challenger is better", "worse": "the challenger is worse",
    "inconclusive": "no difference was found",
}  # fmt: skip


class ExperimentError(CrimeGuardError):
    """An experiment cannot be started, or there is none to stop."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the ledger on an experiment."""

    at: dt.datetime
    who: str
    why: str
    evidence: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the step as JSON types."""
        return {"at": self.at.isoformat(), "who": self.who, "why": self.why,
                "evidence": dict(self.evidence)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment as the ledger tells it; `stopped` is None while it runs."""

    id: str
    contest: Contest
    plan: Plan
    started: Step
    refused: Step | None = None
    decided: Step | None = None
    stopped: Step | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the experiment as JSON types."""
        wanted = self.contest.wanted
        steps = {name: getattr(self, name) for name in ("started", "refused", "decided", "stopped")}
        return {
            "id": self.id, "mode": wanted.mode, "share": wanted.share or None,
            "version": wanted.version, "challenger": self.contest.challenger,
            "champion": self.contest.champion, "plan": self.plan.to_dict(),
            **{name: None if step is None else step.to_dict() for name, step in steps.items()},
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Look:
    """An experiment's predictions by variant, and what the labels say of it."""

    experiment: Experiment
    counts: Mapping[str, Counted]
    finding: Finding

    def to_dict(self) -> dict[str, Any]:
        """Return the look as JSON types."""
        counted = {
            variant: {"predictions": found.predictions, "labelled": found.labelled}
            for variant, found in sorted(self.counts.items())
        }
        return {**self.experiment.to_dict(), "counts": counted, "finding": self.finding.to_dict()}


def experiments(ledger: Ledger) -> list[Experiment]:
    """Return all experiments, the first first."""
    return _told(sorted(ledger.entries(KIND), key=lambda line: line.seq))


def running(ledger: Ledger) -> Experiment | None:
    """Return the experiment that runs, None if none does."""
    return _running(experiments(ledger))


def start(
    ledger: Ledger,
    contest: Contest,
    plan: Plan,
    *,
    who: str,
    why: str,
    once: bool = False,
    request_id: str = "",
) -> Experiment:
    """Start an experiment; ExperimentError if one runs already.

    With `once` also if there was one of the same contest before: what was stopped does not
    begin again because a server does.
    """

    def admits(lines: Sequence[LedgerEntry]) -> bool:
        known = _told(lines)
        ended = once and any(item.contest == contest for item in known)
        return _running(known) is None and not ended

    name, wanted = uuid.uuid4().hex, contest.wanted
    line = ledger.append_if(
        KIND, admits, subject=contest.challenger, who=who, why=why, decision_id=name,
        evidence={
            "event": "started", "mode": wanted.mode, "share": wanted.share,
            "version": wanted.version, "challenger": contest.challenger,
            "champion": contest.champion, "plan": plan.to_dict(), **_of(request_id),
        },
    )  # fmt: skip
    if line is None:
        raise ExperimentError(
            "No experiment was started.",
            why="One runs already." if running(ledger) else "It has been made, and was stopped.",
            fix="`crimeguard experiment stop` ends the one that runs; `crimeguard experiment "
            "start` starts one anew.",
        )
    return _told([line])[0]


def stop(
    ledger: Ledger,
    *,
    who: str,
    why: str,
    only: str | None = None,
    finding: Finding | None = None,
    request_id: str = "",
) -> Experiment:
    """Stop the experiment that runs, with what was found; ExperimentError if none runs.

    `only` names the experiment that is meant.
    """
    found = running(ledger)
    if found is None or only not in (None, found.id):
        raise ExperimentError("There is no experiment to stop.", why="None runs.")
    evidence = {"finding": None if finding is None else finding.to_dict(), **_of(request_id)}
    line = _add(ledger, found, "stopped", who=who, why=why, evidence=evidence)
    if line is None:
        raise ExperimentError("There is no experiment to stop.", why="It was stopped just now.")
    return replace(found, stopped=_step(line))


def refuse(ledger: Ledger, experiment: Experiment, *, who: str, why: str) -> None:
    """Note that a challenger cannot be used; once, whoever finds it so."""
    _add(ledger, experiment, "refused", who=who, why=why, evidence={})


def decide(ledger: Ledger, experiment: Experiment, finding: Finding, *, who: str) -> Experiment:
    """Note a verdict when it is first found; it holds from then on."""
    if experiment.decided is not None or finding.decided_at is None:
        return experiment
    why = f"{_FOUND[finding.verdict]} after {finding.decided_at:,} labels"
    evidence = {"verdict": finding.verdict, "finding": finding.to_dict()}
    line = _add(ledger, experiment, "decided", who=who, why=why, evidence=evidence)
    return experiment if line is None else replace(experiment, decided=_step(line))


def look(database: Database, experiment: Experiment, now: dt.datetime) -> Look:
    """Count an experiment's predictions, and test what the mature labels say."""
    contest, plan = experiment.contest, experiment.plan
    table = read_trial(
        database, experiment.id, mode=contest.wanted.mode, champion=contest.champion,
        challenger=contest.challenger, now=now,
        maturity=dt.timedelta(days=plan.maturity_days),
    )  # fmt: skip
    finding = judge_experiment(_outcomes(contest.wanted, table), plan)
    return Look(experiment, count_trial(database, experiment.id), finding)


def _outcomes(wanted: Wanted, table: pl.DataFrame) -> Outcomes:
    names = ("champion", "challenger", "champion_loss", "challenger_loss")
    return Outcomes(
        wanted.mode, wanted.share, *(table[name].cast(pl.Float64).to_numpy() for name in names)
    )


def _of(request_id: str) -> dict[str, str]:
    return {"request_id": request_id} if request_id else {}


def _add(
    ledger: Ledger,
    experiment: Experiment,
    event: Event,
    *,
    who: str,
    why: str,
    evidence: Mapping[str, Any],
) -> LedgerEntry | None:
    """Add a step that an experiment has not had, unless it has ended."""

    def admits(lines: Sequence[LedgerEntry]) -> bool:
        events = {line.evidence.get("event") for line in lines if line.decision_id == experiment.id}
        return not events & {event, "stopped"}

    return ledger.append_if(
        KIND, admits, subject=experiment.contest.challenger, who=who, why=why,
        evidence={"event": event, "version": experiment.contest.wanted.version, **evidence},
        decision_id=experiment.id,
    )  # fmt: skip


def _running(known: Sequence[Experiment]) -> Experiment | None:
    return next((item for item in reversed(known) if item.stopped is None), None)


def _told(lines: Sequence[LedgerEntry]) -> list[Experiment]:
    found: dict[str, Experiment] = {}
    for line in lines:
        name, event = str(line.decision_id), line.evidence.get("event")
        if event == "started":
            found[name] = _begun(name, line)
        elif name in found and event in ("refused", "decided", "stopped"):
            steps: dict[str, Any] = {str(event): _step(line)}
            found[name] = replace(found[name], **steps)
    return list(found.values())


def _begun(name: str, line: LedgerEntry) -> Experiment:
    said = line.evidence
    wanted = Wanted(said["mode"], str(said["version"]), float(said["share"]))
    contest = Contest(wanted, str(said["challenger"]), str(said["champion"]))
    return Experiment(name, contest, Plan(**said["plan"]), _step(line))


def _step(line: LedgerEntry) -> Step:
    said = {key: value for key, value in line.evidence.items() if key in _SAID}
    return Step(line.at, line.who, line.why, said)
