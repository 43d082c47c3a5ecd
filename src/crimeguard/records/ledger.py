"""The ledger: every verdict, decision and promotion, with who, when, why and evidence."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

import orjson
from sqlalchemy import Row, Select, insert, select, text
from sqlalchemy.sql.dml import ReturningInsert

from crimeguard.records import moment
from crimeguard.records.database import Database
from crimeguard.records.tables import LEDGER

KINDS: Final = frozenset(
    {
        "verdict", "alert", "decision", "training", "gates", "promotion", "rollback", "probe",
        "refusal", "experiment", "admin",
    }
)  # fmt: skip
_LOCK: Final = 0x4C6564676572  # any number that nobody else uses
_OPTIONS: Final = (
    orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z
)


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One line of the ledger; `seq` grows with every line, `at` is in UTC."""

    seq: int
    at: dt.datetime
    kind: str
    subject: str
    who: str
    why: str
    evidence: dict[str, Any]
    decision_id: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return the line with a time that JSON can hold."""
        return {
            "seq": self.seq, "at": self.at.isoformat(), "kind": self.kind,
            "subject": self.subject, "who": self.who, "why": self.why,
            "evidence": self.evidence, "decision_id": self.decision_id,
        }  # fmt: skip


class Ledger:
    """Lines that are added and never changed: the database itself refuses both others."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(
        self,
        kind: str,
        *,
        subject: str = "",
        who: str,
        why: str,
        evidence: Mapping[str, Any],
        decision_id: str | None = None,
        at: dt.datetime | None = None,
    ) -> LedgerEntry:
        """Add a line, and return it as it is kept.

        Parameters
        ----------
        kind
            One of KINDS; ValueError for another.
        subject
            What it is about, mostly the sha256 of a bundle.
        evidence
            Figures behind it: anything JSON can hold, arrays of NumPy and times too. NaN
            and infinite numbers are kept as null, for JSON knows neither.
        decision_id
            Ties together the lines of one decision.
        at
            When it was, with a zone; now by default.
        """
        row = _row(kind, subject, who, why, evidence, decision_id, at)
        with self._database.writing() as connection:
            return _entry(connection.execute(_insert(row)).one())

    def append_if(
        self,
        kind: str,
        admits: Callable[[Sequence[LedgerEntry]], bool],
        *,
        subject: str = "",
        who: str,
        why: str,
        evidence: Mapping[str, Any],
        decision_id: str | None = None,
    ) -> LedgerEntry | None:
        """Add a line if the lines of its kind, oldest first, admit it; None if they do not.

        Nobody adds such a line in this way between the look and the line: of several who
        would be the first, one is. What `admits` raises is raised here.
        """
        row = _row(kind, subject, who, why, evidence, decision_id)
        known = select(LEDGER).where(LEDGER.c.kind == kind).order_by(LEDGER.c.seq)
        with self._database.writing() as connection:
            if not self._database.is_sqlite:  # which lets one writer in at a time
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            if not admits([_entry(line) for line in connection.execute(known)]):
                return None
            return _entry(connection.execute(_insert(row)).one())

    def entries(
        self,
        kind: str | Collection[str] | None = None,
        *,
        subject: str | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        newest: int | None = None,
    ) -> list[LedgerEntry]:
        """Return the lines asked for, oldest first.

        Parameters
        ----------
        kind
            One kind, or several; None for all.
        since, until
            From the former on, and before the latter.
        newest
            Only the last so many of them.
        """
        query = select(LEDGER)
        if kind is not None:
            kinds = [kind] if isinstance(kind, str) else list(kind)
            query = query.where(LEDGER.c.kind.in_(kinds))
        if subject is not None:
            query = query.where(LEDGER.c.subject == subject)
        query = _between(query, since, until)
        query = query.order_by(LEDGER.c.at.desc(), LEDGER.c.seq.desc()).limit(newest)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return [_entry(row) for row in reversed(rows)]


def _row(
    kind: str, subject: str, who: str, why: str, evidence: Mapping[str, Any],
    decision_id: str | None, at: dt.datetime | None = None,
) -> dict[str, Any]:  # fmt: skip
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is no kind of line: {', '.join(sorted(KINDS))}")
    packed = orjson.dumps(dict(evidence), default=_plain, option=_OPTIONS).decode()
    return {
        "at": moment.now() if at is None else moment.to_moment(at), "kind": kind,
        "subject": subject, "who": who, "why": why, "evidence": packed,
        "decision_id": decision_id,
    }  # fmt: skip


def _insert(row: Mapping[str, Any]) -> ReturningInsert[Any]:
    return insert(LEDGER).values(**row).returning(*LEDGER.c)


def _between(
    query: Select[Any], since: dt.datetime | None, until: dt.datetime | None
) -> Select[Any]:
    if since is not None:
        query = query.where(LEDGER.c.at >= moment.to_moment(since))
    if until is not None:
        query = query.where(LEDGER.c.at < moment.to_moment(until))
    return query


def _entry(row: Row[Any]) -> LedgerEntry:
    return LedgerEntry(
        row.seq, moment.to_time(row.at), row.kind, row.subject, row.who, row.why,
        orjson.loads(row.evidence), row.decision_id,
    )  # fmt: skip


def _plain(value: Any) -> Any:
    """Turn what JSON has no form for into what it has."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, frozenset | set):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
