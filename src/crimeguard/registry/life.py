"""Steps in the life of a version: promoted, taken back; each a line in the ledger."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from crimeguard.domain.errors import GateRefusedError, RegistryError
from crimeguard.evaluate.gates import Judgement
from crimeguard.records.ledger import Ledger, LedgerEntry
from crimeguard.registry.judging import Actor, Court
from crimeguard.registry.store import PRODUCTION, STAGING, Registry

_CHANGES = ("promotion", "rollback")


@dataclass(frozen=True, slots=True)
class Change:
    """What is in production now, and what was before; None if nothing was."""

    version: str
    sha256: str
    replaced: str | None
    replaced_sha256: str | None


def staged(registry: Registry) -> str:
    """Return the number of the version in staging; RegistryError if there is none."""
    number = registry.version_of(STAGING)
    if number is None:
        raise RegistryError("There is no version in staging.",
                            fix="Run `crimeguard train`, or name a version.")  # fmt: skip
    return number


def promote(court: Court, number: str, judgement: Judgement, actor: Actor) -> Change:
    """Put a version into production that every gate lets through.

    The judgement must be of this version, and against the champion of this moment. Raises
    GateRefusedError otherwise; the alias does not move then.
    """
    sha256 = court.registry.sha256_of(number)
    require(judgement)
    before = court.registry.version_of(PRODUCTION)
    champion = None if before is None else court.registry.sha256_of(before)
    judged_against = judgement.champion.sha256 if judgement.champion else None
    stale = champion not in (judged_against, sha256)
    if judgement.challenger.sha256 != sha256 or stale:
        raise GateRefusedError(
            f"The judgement is not of version {number} against what is in production.",
            why="Another version went into production after the gates had spoken.",
            fix="Promote it again: the gates are asked anew.",
        )
    return _change(court, "promotion", number, actor)


def require(judgement: Judgement) -> None:
    """Raise GateRefusedError that names every gate which refused."""
    if not judgement.passed:
        raise GateRefusedError(
            f"The model was refused by {len(judgement.refused)} of {len(judgement.verdicts)} "
            f"gates: {', '.join(judgement.refused)}.",
            why=judgement.why,
            fix="What is in production stays. Train on more or better data, or change the "
            "bounds in params.yaml for a reason that you can state.",
        )


def rollback(court: Court, actor: Actor, to: str | None = None) -> Change:
    """Put back the version that was in production before, or the one named.

    Its bundle is verified byte by byte and by its golden rows. No gate is asked: it has
    been in production. RegistryError if there is nothing to go back to.
    """
    number = to or _previous(court)
    court.load(number)
    if number not in _stood(changes(court.ledger)):
        raise RegistryError(f"Version {number} has never been in production.",
                            fix="Use `crimeguard promote`, which asks the gates.")  # fmt: skip
    return _change(court, "rollback", number, actor)


def changes(ledger: Ledger, until: dt.datetime | None = None) -> list[LedgerEntry]:
    """Return the lines that changed what is in production, oldest first."""
    return ledger.entries(_CHANGES, until=until)


def in_production(ledger: Ledger, at: dt.datetime) -> LedgerEntry | None:
    """Return the line that put into production what was there at a moment, None if nothing."""
    found = changes(ledger, until=at)
    return found[-1] if found else None


def number_of(court: Court, sha256: str) -> str | None:
    """Return the version of a bundle; of several the one that was in production last.

    The same bundle may have been registered again since, and never have been promoted.
    """
    found = None
    for line in changes(court.ledger):
        if line.evidence.get("replaced") == sha256:
            found = line.evidence.get("replaced_version") or found
        if line.subject == sha256:
            found = line.evidence.get("version") or found
    return court.registry.number_of(sha256) if found is None else str(found)


def _stood(lines: Sequence[LedgerEntry]) -> set[str]:
    """Return the versions that were in production; the first may be older than the ledger."""
    stood = {line.evidence.get(name) for line in lines for name in ("version", "replaced_version")}
    return {str(number) for number in stood if number is not None}


def _previous(court: Court) -> str:
    stack = _stack(changes(court.ledger))
    if len(stack) < 2:
        raise RegistryError("There is no version to go back to.",
                            why="The ledger knows of no other one that was in production.",
                            fix="`crimeguard history` shows what was; `crimeguard rollback "
                            "--to N` names one.")  # fmt: skip
    return stack[-2]


def _stack(lines: Sequence[LedgerEntry]) -> list[str]:
    """Return the versions in the order in which they stand behind each other.

    Going back takes from the top, so that going back twice leads two versions back.
    """
    first = lines[0].evidence.get("replaced_version") if lines else None
    stack: list[str] = [] if first is None else [str(first)]
    for line in lines:
        version = str(line.evidence.get("version"))
        if line.kind == "rollback" and version in stack:
            del stack[len(stack) - stack[::-1].index(version) :]
        elif not stack or stack[-1] != version:
            stack.append(version)
    return stack


def _change(court: Court, kind: str, number: str, actor: Actor) -> Change:
    before = court.registry.version_of(PRODUCTION)
    replaced = None if before in (None, number) else before
    replaced_sha256 = None if replaced is None else court.registry.sha256_of(replaced)
    court.registry.promote(number)
    change = Change(number, court.registry.sha256_of(number), replaced, replaced_sha256)
    note(court.ledger, kind, change, actor)
    return change


def note(ledger: Ledger, kind: str, change: Change, actor: Actor) -> None:
    """Write down that production has changed."""
    ledger.append(
        kind, subject=change.sha256, who=actor.who, why=actor.why,
        evidence={
            "version": change.version,
            "replaced": change.replaced_sha256,
            "replaced_version": change.replaced,
        },
        decision_id=actor.decision_id,
    )  # fmt: skip
