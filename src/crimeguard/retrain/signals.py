"""What is known when it is asked whether to train again, read from the ledger.

What this module reads of an entry's evidence is written in docs/retraining.md.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from crimeguard.domain.errors import UsageError
from crimeguard.train.params import RetrainParams

if TYPE_CHECKING:
    from crimeguard.records.ledger import Ledger, LedgerEntry

CRITICAL: Final = "critical"
# A verdict on too few rows has another status, and says nothing of the champion.
SPOKEN: Final = ("ok", "warning", CRITICAL)
BUDGET_DAYS: Final = 30
_STEPS: Final = ("training", "gates", "promotion", "probe", "rollback")


@dataclass(frozen=True, slots=True)
class VerdictLine:
    """What the monitor said of the champion, and where it stands in the ledger.

    `status` is the one of the model: a change in the number of incidents is an alarm, but no
    reason to train again.
    """

    seq: int
    status: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the ledger and its time."""

    seq: int
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class Forced:
    """A request to train in spite of what the policy would skip; somebody answers for it."""

    who: str
    why: str

    def __post_init__(self) -> None:
        if not self.who.strip() or not self.why.strip():
            raise UsageError("A forced retraining needs a name and a reason.",
                             why="The ledger has to say who wanted it, and why.",
                             fix="Say why in a few words.")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """Everything that the policy looks at.

    Parameters
    ----------
    champion
        sha256 of the bundle in production, None if there is none.
    reference
        Whether the champion keeps what drift is measured against.
    verdicts
        On this champion, oldest first.
    now
        When it is asked, with a time zone.
    last_training
        The newest retraining that came to an end: refused, promoted or rolled back. One that
        was killed is none, so it can be run again at once.
    trainings
        Retrainings begun in the last 30 days, killed ones too.
    new_labelled
        Labelled incidents that the champion was not trained on.
    data, refused_data
        Digest of what a training would start from now (rows and parameters), and of what the
        last challenger was made from, if it was refused by a gate or taken back.
    locked
        Whether another retraining runs.
    forced
        Who asks for it in spite of the policy.
    """

    champion: str | None
    reference: bool
    verdicts: tuple[VerdictLine, ...]
    now: dt.datetime
    last_training: Mark | None
    trainings: int
    new_labelled: int
    data: str
    refused_data: str | None
    locked: bool = False
    forced: Forced | None = None


def spoken(verdicts: Iterable[VerdictLine]) -> tuple[VerdictLine, ...]:
    """Return the verdicts that say something, in their order."""
    return tuple(verdict for verdict in verdicts if verdict.status in SPOKEN)


def collect(
    ledger: Ledger,
    params: RetrainParams,
    *,
    champion: str | None,
    reference: bool,
    data: str,
    new_labelled: int,
    now: dt.datetime | None = None,
    locked: bool = False,
    forced: Forced | None = None,
) -> Signals:
    """Read from the ledger what the rest of the loop does not know itself."""
    now = now or dt.datetime.now(dt.UTC)
    last, refused_data = _last_training(ledger.entries(_STEPS))
    return Signals(
        champion=champion,
        reference=reference,
        verdicts=_verdicts(ledger, champion, params.windows),
        now=now,
        last_training=last,
        trainings=_begun(ledger, now),
        new_labelled=new_labelled,
        data=data,
        refused_data=refused_data,
        locked=locked,
        forced=forced,
    )


def _verdicts(ledger: Ledger, champion: str | None, most: int) -> tuple[VerdictLine, ...]:
    """Return the last `most` verdicts that say something, past any number that do not."""
    if champion is None:
        return ()
    asked = 4 * most
    while True:
        found = ledger.entries("verdict", subject=champion, newest=asked)
        said = spoken(VerdictLine(e.seq, str(e.evidence.get("model_status"))) for e in found)
        if len(said) >= most or len(found) < asked:
            return said[-most:]
        asked *= 4


def _begun(ledger: Ledger, now: dt.datetime) -> int:
    """Count decisions to train: they are written first, so a killed training counts as well."""
    since = now - dt.timedelta(days=BUDGET_DAYS)
    decisions = ledger.entries("decision", since=since)
    return sum(e.at > since and e.evidence.get("action") == "train" for e in decisions)


def _last_training(steps: Sequence[LedgerEntry]) -> tuple[Mark | None, str | None]:
    """Return where the last training that came to an end stands, and its data if refused."""
    for training in reversed(_retrainings(steps)):
        after = _after(training, steps)
        refused = _is_refused(after) or any(_takes_back(training, step) for step in steps)
        if refused or any(step.kind == "promotion" for step in after):
            data = training.evidence.get("data")
            return Mark(training.seq, training.at), str(data) if refused and data else None
    return None, None


def _retrainings(steps: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    """Leave out what was trained by hand: no decision stands behind it."""
    return [step for step in steps if step.kind == "training" and step.decision_id]


def _after(training: LedgerEntry, steps: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    """Return the steps that followed from the same decision."""
    return [
        step
        for step in steps
        if step.seq > training.seq and step.decision_id == training.decision_id
    ]


def _is_refused(steps: Sequence[LedgerEntry]) -> bool:
    return any(step.kind == "gates" and step.evidence.get("passed") is not True for step in steps)


def _takes_back(training: LedgerEntry, step: LedgerEntry) -> bool:
    """Tell whether a step is the rollback of what a training made, by whomever."""
    if step.kind != "rollback" or step.seq < training.seq:
        return False
    return training.decision_id == step.decision_id or (
        training.subject == step.evidence.get("replaced")
    )


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A retraining that was killed after its challenger may have gone into production.

    `step` is what the ledger lacks: `promotion` (production names the challenger already:
    write it down, then probe), `probe`, or `rollback` (the probe failed: make sure that the
    one before is in production, and write it down). `before` is the champion that the
    challenger was held against: what a rollback goes back to.
    """

    step: Literal["promotion", "probe", "rollback"]
    challenger: str
    before: str
    decision_id: str


def unsettled(ledger: Ledger, champion: str | None) -> Unsettled | None:
    """Return what the last retraining left undone in production, None if nothing.

    `champion` is the sha256 that the registry has in production now.
    """
    steps = ledger.entries(_STEPS)
    trainings = _retrainings(steps)
    if not trainings:
        return None
    training = trainings[-1]
    step = _missing(training, steps, champion == training.subject)
    if step is None:
        return None
    before = str(training.evidence.get("champion") or "")
    return Unsettled(step, training.subject, before, training.decision_id or "")


def _missing(
    training: LedgerEntry, steps: Sequence[LedgerEntry], in_production: bool
) -> Literal["promotion", "probe", "rollback"] | None:
    after = _after(training, steps)
    if _is_refused(after) or any(_takes_back(training, step) for step in steps):
        return None
    probes = [step for step in after if step.kind == "probe"]
    if probes:
        failed = probes[-1].evidence.get("passed") is not True
        moved_on = not in_production and _moved_on(probes[-1], steps)
        return "rollback" if failed and not moved_on else None
    kinds = {step.kind for step in after}
    if not in_production or "gates" not in kinds:
        return None
    return "probe" if "promotion" in kinds else "promotion"


def _moved_on(probe: LedgerEntry, steps: Sequence[LedgerEntry]) -> bool:
    """Tell whether production was changed later on, so that nothing is left to take back."""
    return any(step.kind in ("promotion", "rollback") and step.seq > probe.seq for step in steps)
