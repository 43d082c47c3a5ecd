from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from crimeguard.domain.errors import CrimeGuardError
from crimeguard.monitor.alerts import Alert, Alerter, ChannelError, Outcome, Severity
from crimeguard.records.database import Database, open_database
from crimeguard.records.ledger import Ledger
from crimeguard.settings import Settings

DAY = dt.timedelta(days=1)
NOON = dt.datetime(2023, 3, 20, 12, tzinfo=dt.UTC)


class Recorder:
    """A channel that keeps what it is told, or fails as it is told to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.told: list[tuple[str, Severity]] = []
        self.trouble: Exception | None = None

    def send(self, alert: Alert) -> None:
        if self.trouble:
            raise self.trouble
        self.told.append((alert.key, alert.severity))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(Settings(home=tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)


def alert(severity: Severity, *, hours: float = 0, key: str = "drift") -> Alert:
    at = NOON + dt.timedelta(hours=hours)
    return Alert(key, severity, f"It is {severity}.", {"score": 0.7}, at)


def test_the_same_is_told_once_and_again_after_the_interval(ledger: Ledger) -> None:
    channel = Recorder("one")
    alerter = Alerter(ledger, [channel], DAY, "tests")
    assert alerter.notify(alert("critical")) == [Outcome("one")]
    assert alerter.notify(alert("critical", hours=1)) == []
    assert alerter.notify(alert("critical", hours=23.9)) == []
    assert alerter.notify(alert("critical", hours=24)) == [Outcome("one")]
    assert alerter.notify(alert("critical", hours=47)) == []
    assert len(channel.told) == 2


def test_another_severity_is_told_at_once(ledger: Ledger) -> None:
    channel = Recorder("one")
    alerter = Alerter(ledger, [channel], DAY, "tests")
    severities: tuple[Severity, ...] = ("warning", "critical", "warning", "resolved", "warning")
    for hours, severity in enumerate(severities):
        alerter.notify(alert(severity, hours=hours / 10))
    assert [severity for _, severity in channel.told] == list(severities)


def test_resolved_is_told_only_if_something_was_open(ledger: Ledger) -> None:
    channel = Recorder("one")
    alerter = Alerter(ledger, [channel], DAY, "tests")
    assert alerter.notify(alert("resolved")) == []
    alerter.notify(alert("warning", hours=1))
    assert alerter.notify(alert("resolved", hours=2)) == [Outcome("one")]
    assert alerter.notify(alert("resolved", hours=3)) == []
    assert alerter.notify(alert("resolved", hours=99)) == []


def test_keys_do_not_hide_each_other(ledger: Ledger) -> None:
    channel = Recorder("one")
    alerter = Alerter(ledger, [channel], DAY, "tests")
    for key in ("drift", "retraining", "drift"):
        alerter.notify(alert("critical", key=key))
    assert channel.told == [("drift", "critical"), ("retraining", "critical")]


def test_a_restart_changes_nothing(tmp_path: Path) -> None:
    told = []
    for _ in range(3):
        database = open_database(Settings(home=tmp_path))
        channel = Recorder("one")
        Alerter(Ledger(database), [channel], DAY, "tests").notify(alert("critical"))
        told += channel.told
        database.close()
    assert told == [("drift", "critical")]


def test_a_channel_that_fails_stops_no_other_and_is_tried_again(ledger: Ledger) -> None:
    bad, good = Recorder("bad"), Recorder("good")
    alerter = Alerter(ledger, [bad, good], DAY, "tests")
    bad.trouble = ChannelError("It answered 503.")
    assert alerter.notify(alert("critical")) == [Outcome("bad", "It answered 503."),
                                                 Outcome("good")]  # fmt: skip
    # Only what failed is tried again.
    assert alerter.notify(alert("critical", hours=1)) == [Outcome("bad", "It answered 503.")]
    bad.trouble = None
    assert alerter.notify(alert("critical", hours=2)) == [Outcome("bad")]
    assert alerter.notify(alert("critical", hours=3)) == []
    # Each counts from its own delivery.
    assert alerter.notify(alert("critical", hours=24)) == [Outcome("good")]
    assert len(bad.told) == 1
    assert len(good.told) == 2


def test_what_failed_may_have_arrived_and_is_resolved_too(ledger: Ledger) -> None:
    channel = Recorder("one")
    alerter = Alerter(ledger, [channel], DAY, "tests")
    channel.trouble = ChannelError("It did not answer within 10 s.")
    alerter.notify(alert("critical"))
    assert not alerter.notify(alert("resolved", hours=1))[0].ok
    channel.trouble = None
    assert alerter.notify(alert("resolved", hours=2)) == [Outcome("one")]
    assert alerter.notify(alert("resolved", hours=3)) == []


def test_a_channel_that_is_new_is_told_what_holds_but_not_what_is_over(ledger: Ledger) -> None:
    old, new = Recorder("old"), Recorder("new")
    Alerter(ledger, [old], DAY, "tests").notify(alert("critical"))
    Alerter(ledger, [old], DAY, "tests").notify(alert("resolved", hours=1))
    both = Alerter(ledger, [old, new], DAY, "tests")
    assert both.notify(alert("resolved", hours=2)) == []
    both.notify(alert("critical", hours=3))
    assert new.told == [("drift", "critical")]


def test_each_sending_is_in_the_ledger_with_its_outcomes(ledger: Ledger) -> None:
    bad, good = Recorder("bad"), Recorder("good")
    bad.trouble = ChannelError("It answered 503.")
    alerter = Alerter(ledger, [bad, good], DAY, "the scheduler")
    alerter.notify(alert("critical"))
    alerter.notify(alert("resolved", hours=1))
    first, second = ledger.entries("alert")
    assert (first.subject, first.who) == ("drift", "the scheduler")
    assert first.why == "critical: It is critical."
    assert first.evidence["channels"] == {"bad": "It answered 503.", "good": "ok"}
    assert first.evidence["details"] == {"score": 0.7}
    assert first.evidence["at"] == NOON.isoformat()
    assert second.evidence["severity"] == "resolved"


def test_nothing_due_and_no_channels_leave_no_line(ledger: Ledger) -> None:
    assert Alerter(ledger, [], DAY, "tests").notify(alert("critical")) == []
    assert Alerter(ledger, [Recorder("one")], DAY, "tests").notify(alert("resolved")) == []
    assert ledger.entries() == []


def test_a_bug_in_a_channel_is_told_by_its_kind_alone(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = Recorder("bad"), Recorder("good")
    bad.trouble = KeyError("https://user:s3cret@host/?token=t0ken")
    with caplog.at_level(logging.DEBUG):
        found = Alerter(ledger, [bad, good], DAY, "tests").notify(alert("critical"))
    assert found == [Outcome("bad", "It failed with KeyError."), Outcome("good")]
    everything = caplog.text + str(ledger.entries())
    assert "s3cret" not in everything
    assert "t0ken" not in everything
    assert "bad" in caplog.text


def test_a_channel_error_is_one_of_ours() -> None:
    assert issubclass(ChannelError, CrimeGuardError)


def test_a_window_of_the_past_does_not_undo_what_was_told_since(ledger: Ledger) -> None:
    channel = Recorder("one")
    alerter = Alerter(ledger, [channel], DAY, "tests")
    alerter.notify(alert("critical"))
    alerter.notify(alert("warning", hours=-500))
    assert alerter.notify(alert("warning", hours=-499)) == []
    assert [severity for _, severity in channel.told] == ["critical", "warning"]
