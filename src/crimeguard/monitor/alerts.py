"""Telling people and machines that something is wrong, once."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from crimeguard.domain.errors import CrimeGuardError

log = logging.getLogger(__name__)

Severity = Literal["warning", "critical", "resolved"]
KIND: Final = "alert"


class ChannelError(CrimeGuardError):
    """A channel could not deliver; the text names no password, token or path."""


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that somebody should know.

    `key` says what it is about: alerts of one key follow each other. `details` are named
    values that JSON can hold; `at` has a time zone.
    """

    key: str
    severity: Severity
    summary: str
    details: Mapping[str, Any] = field(default_factory=dict)
    at: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one sending; `error` is empty if it was delivered.

    `note` is what the channel told of it, as the build that it started.
    """

    channel: str
    error: str = ""
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether the channel took the alert."""
        return not self.error


class Channel(Protocol):
    """A way to tell. `name` is public: it stands in the ledger and in logs."""

    @property
    def name(self) -> str:
        """Kind and host, without anything secret; the same after a restart."""

    def send(self, alert: Alert) -> str | None:
        """Deliver, or raise ChannelError; what is worth telling of it is returned."""


class Remembered(Protocol):
    """What is read of a ledger entry."""

    @property
    def evidence(self) -> Mapping[str, Any]:
        """The entry's evidence, as it was appended."""


class Remembers(Protocol):
    """What is asked of the ledger."""

    def append(
        self, kind: str, *, subject: str, who: str, why: str, evidence: Mapping[str, Any]
    ) -> object:
        """Add one entry for good, with the time of adding."""

    def entries(
        self, kind: str | Collection[str] | None, *, subject: str | None, newest: int | None
    ) -> Sequence[Remembered]:
        """Return the newest entries of a kind and subject, oldest first."""


@dataclass(frozen=True, slots=True)
class _Told:
    """How far one channel is with one key.

    `severity` and `at` are of the last delivery; `open` is true from the first try to
    tell of trouble until a delivered "resolved". A try that failed counts: the other
    side may have got it all the same, as after a time-out.
    """

    severity: str = ""
    at: dt.datetime | None = None
    open: bool = False

    def due(self, alert: Alert, repeat_after: dt.timedelta) -> bool:
        if alert.severity == "resolved":
            return self.open
        if self.at is None or self.severity != alert.severity:
            return True
        return alert.at - self.at >= repeat_after

    def after(self, alert: Alert, *, delivered: bool) -> _Told:
        trouble = alert.severity != "resolved"
        if delivered:
            return _Told(alert.severity, alert.at, trouble)
        return _Told(self.severity, self.at, self.open or trouble)


class Alerter:
    """Sends alerts through channels, and none of them twice.

    What was told is read from the ledger's "alert" entries, so it holds for every process
    and after a restart. Each key's newest entry carries the state of all channels, so one
    entry is read however long the ledger is. Two processes that notify of one key in the
    same instant may both send.
    """

    def __init__(
        self, ledger: Remembers, channels: Sequence[Channel], repeat_after: dt.timedelta, who: str
    ) -> None:
        self._ledger = ledger
        self._channels = channels
        self._repeat_after = repeat_after
        self._who = who

    def notify(self, alert: Alert) -> list[Outcome]:
        """Send an alert to every channel that has not been told yet.

        A channel is told once of a key and severity and again after `repeat_after`; of
        another severity at once; of "resolved" only if trouble was told. One that fails
        is tried again at the next call. Returns what was tried, [] if nothing was due;
        each non-empty sending is one entry in the ledger.
        """
        told = self._told(alert.key)
        due = [
            channel for channel in self._channels
            if told.get(channel.name, _Told()).due(alert, self._repeat_after)
        ]  # fmt: skip
        outcomes = [send_once(channel, alert) for channel in due]
        for outcome in outcomes:
            before = told.get(outcome.channel, _Told())
            told[outcome.channel] = before.after(alert, delivered=outcome.ok)
        if outcomes:
            self._record(alert, outcomes, told)
        return outcomes

    def _told(self, key: str) -> dict[str, _Told]:
        # By the time of sending, not of the alert: a window of the past may be looked at later.
        newest = self._ledger.entries(KIND, subject=key, newest=1)
        told = newest[-1].evidence.get("told", {}) if newest else {}
        return {name: _from_json(state) for name, state in told.items()}

    def _record(self, alert: Alert, outcomes: Sequence[Outcome], told: Mapping[str, _Told]) -> None:
        evidence = {
            "severity": alert.severity,
            "at": alert.at.isoformat(),
            "summary": alert.summary,
            "details": dict(alert.details),
            "channels": {
                outcome.channel: outcome.error or outcome.note or "ok" for outcome in outcomes
            },
            "told": {name: _to_json(state) for name, state in told.items()},
        }
        why = f"{alert.severity}: {alert.summary}"
        self._ledger.append(KIND, subject=alert.key, who=self._who, why=why, evidence=evidence)


def send_once(channel: Channel, alert: Alert) -> Outcome:
    """Send through one channel, whatever was told before; what fails is in the outcome."""
    try:
        note = channel.send(alert) or ""
    except ChannelError as error:
        log.warning("alert %s was not delivered: %s: %s", alert.key, channel.name, error)
        return Outcome(channel.name, str(error))
    # The other channels must be told whatever a library raises in this one; only its
    # kind is named, for its text may hold the address with its password.
    except Exception as error:  # noqa: BLE001
        words = f"It failed with {type(error).__name__}."
        log.error("alert %s was not delivered: %s: %s", alert.key, channel.name, words)  # noqa: TRY400
        return Outcome(channel.name, words)
    return Outcome(channel.name, note=note)


def _to_json(told: _Told) -> dict[str, Any]:
    return {
        "severity": told.severity,
        "at": told.at.isoformat() if told.at else None,
        "open": told.open,
    }


def _from_json(state: Mapping[str, Any]) -> _Told:
    at = state.get("at")
    return _Told(state.get("severity", ""), at and dt.datetime.fromisoformat(at),
                 bool(state.get("open")))  # fmt: skip
