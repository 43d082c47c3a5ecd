from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.monitor.alerts import Alert, Alerter, Outcome
from crimeguard.monitor.component import Component
from crimeguard.monitor.observed import UNKNOWN, Observed
from crimeguard.monitor.performance import Estimate, Performance
from crimeguard.monitor.verdict import Verdict
from crimeguard.monitor.watch import DOCUMENT, EVIDENTLY, FLAG, PAGE, Look, Watcher, sentence
from crimeguard.records.database import open_database
from crimeguard.records.ledger import Ledger
from crimeguard.registry.bundle import Bundle
from crimeguard.settings import Settings
from crimeguard.train.params import MonitorParams
from tests.monitor.windows import PARAMS

NOON = dt.datetime(2023, 3, 20, 12, tzinfo=dt.UTC)


class Recorder:
    """A channel that keeps what it is told."""

    name = "the recorder"

    def __init__(self) -> None:
        self.told: list[Alert] = []

    def send(self, alert: Alert) -> None:
        self.told.append(alert)

    @property
    def severities(self) -> list[str]:
        return [alert.severity for alert in self.told]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_database(Settings(home=tmp_path / "home"))
    yield Ledger(opened)
    opened.close()


@pytest.fixture
def channel() -> Recorder:
    return Recorder()


@pytest.fixture
def watcher(ledger: Ledger, channel: Recorder, tmp_path: Path) -> Watcher:
    alerter = Alerter(ledger, [channel], dt.timedelta(days=1), "tests")
    return Watcher(ledger, alerter, PARAMS, tmp_path / "monitoring", "tests")


@pytest.fixture(scope="module")
def moved(quiet: Observed) -> Observed:
    """Every third incident happens in the same area."""
    third = pl.Series(np.arange(len(quiet)) % 3 == 0)
    area = pl.when(third).then(pl.lit(21, pl.Int32)).otherwise("area")
    return replace(quiet, fields=quiet.fields.with_columns(area=area))


def few(observed: Observed) -> Observed:
    return observed.take(np.arange(len(observed)) < PARAMS.min_rows - 1)


def look(watcher: Watcher, observed: Observed, champion: Bundle, *, hours: float = 0) -> Look:
    at = NOON + dt.timedelta(hours=hours)
    return watcher.look(observed, champion, source="the prediction log", now=at)


# -- what is written -------------------------------------------------------------------


def test_a_look_leaves_a_document_a_page_and_a_line_in_the_ledger(
    watcher: Watcher, champion: Bundle, quiet: Observed, ledger: Ledger
) -> None:
    found = look(watcher, quiet, champion)
    assert found.folder == watcher.folder
    document = json.loads((watcher.folder / DOCUMENT).read_text())
    assert document == found.document
    assert document["status"] == "ok"
    assert document["bundle"] == champion.sha256
    assert document["source"] == "the prediction log"
    assert document["at"] == "2023-03-20T12:00:00+00:00"
    assert document["components"] == found.verdict.to_dict()["components"]
    page = (watcher.folder / PAGE).read_text()
    for words in (champion.sha256, "the prediction log", "days_until_reported", "2,000 incidents"):
        assert words in page
    assert EVIDENTLY not in page
    (line,) = ledger.entries()
    assert (line.kind, line.subject, line.who) == ("verdict", champion.sha256, "tests")
    assert line.at == NOON
    assert line.why == found.sentence
    assert line.evidence == document
    assert not (watcher.folder / FLAG).exists()
    assert {path.name for path in watcher.folder.iterdir()} == {PAGE, DOCUMENT}


def test_shares_and_days_are_in_the_document(
    watcher: Watcher, champion: Bundle, quiet: Observed
) -> None:
    document = look(watcher, quiet, champion).document
    best = np.bincount(quiet.probabilities.argmax(axis=1), minlength=15) / len(quiet)
    true = np.bincount(quiet.label, minlength=15) / len(quiet)
    for name, now in (("prediction", best), ("label", true)):
        pair = document["shares"][name]
        for side in ("reference", "current"):
            assert list(pair[side]) == list(CATEGORIES)
            assert sum(pair[side].values()) == pytest.approx(1, abs=1e-3)
        assert list(pair["current"].values()) == pytest.approx(now, abs=1e-5)
        assert pair["reference"]["theft"] == pytest.approx(pair["current"]["theft"], abs=0.05)
    assert list(document["daily"]) == sorted(document["daily"])
    assert sum(document["daily"].values()) == 2000
    none = replace(quiet, label=np.full(len(quiet), UNKNOWN))
    assert list(look(watcher, none, champion).document["shares"]) == ["prediction"]


def test_expected_shares_are_those_of_the_levels_that_were_asked(
    watcher: Watcher, champion: Bundle, quiet: Observed
) -> None:
    calls = replace(quiet, level=np.zeros(len(quiet), np.int64))
    levels = champion.reference.levels
    for observed, label in ((quiet, "report"), (calls, "call")):
        pair = look(watcher, observed, champion).document["shares"]["prediction"]
        counts = np.array(levels[label].predicted)
        assert list(pair["reference"].values()) == pytest.approx(counts / counts.sum(), abs=1e-5)


def test_the_flag_is_there_as_long_as_something_is_critical(
    watcher: Watcher, champion: Bundle, quiet: Observed, moved: Observed
) -> None:
    flag = watcher.folder / FLAG
    found = look(watcher, moved, champion)
    assert found.verdict.status == "critical"
    assert flag.read_text() == f"{found.sentence}\n"
    assert "area" in flag.read_text()
    # Too few incidents do not say that it is over.
    assert look(watcher, few(quiet), champion).verdict.status == "too few"
    assert flag.exists()
    assert look(watcher, quiet, champion).verdict.status == "ok"
    assert not flag.exists()
    look(watcher, few(quiet), champion)
    assert not flag.exists()


def test_the_number_of_incidents_raises_the_flag_too(
    watcher: Watcher, champion: Bundle, quiet: Observed
) -> None:
    found = look(watcher, quiet.take(np.arange(len(quiet)) % 3 == 0), champion)
    assert found.document["drifted"] == ["volume"]
    assert found.document["model_status"] == "ok"
    assert (watcher.folder / FLAG).exists()


# -- what is told ----------------------------------------------------------------------


def test_it_is_told_once_and_once_that_it_is_over(
    watcher: Watcher, champion: Bundle, quiet: Observed, moved: Observed, channel: Recorder
) -> None:
    assert look(watcher, quiet, champion).alerts == ()
    first = look(watcher, moved, champion, hours=1)
    assert first.alerts == (Outcome("the recorder"),)
    assert look(watcher, moved, champion, hours=2).alerts == ()
    assert look(watcher, few(moved), champion, hours=3).alerts == ()
    assert look(watcher, few(quiet), champion, hours=4).alerts == ()
    assert channel.severities == ["critical"]
    assert look(watcher, quiet, champion, hours=5).alerts == (Outcome("the recorder"),)
    assert look(watcher, quiet, champion, hours=6).alerts == ()
    assert channel.severities == ["critical", "resolved"]
    told = channel.told[0]
    assert told.key == "drift"
    assert told.summary == first.sentence
    assert told.at == NOON + dt.timedelta(hours=1)
    assert told.details["bundle"] == champion.sha256
    assert told.details["rows"] == 2000
    assert told.details["moved"] == {"area": first.verdict.drifted[0].words}


def test_a_warning_is_told_as_one(
    watcher: Watcher, champion: Bundle, quiet: Observed, channel: Recorder
) -> None:
    some = pl.Series(np.arange(len(quiet)) % 20 == 0)
    area = pl.when(some).then(pl.lit(21, pl.Int32)).otherwise("area")
    part = replace(quiet, fields=quiet.fields.with_columns(area=area))
    found = look(watcher, part, champion)
    assert found.verdict.status == "warning"
    assert found.sentence.startswith("warning: drift score 0.")
    assert ": area 0." in found.sentence
    assert channel.severities == ["warning"]
    assert not (watcher.folder / FLAG).exists()


def test_too_few_is_written_down_and_told_to_nobody(
    watcher: Watcher, champion: Bundle, moved: Observed, ledger: Ledger, channel: Recorder
) -> None:
    found = look(watcher, few(moved), champion)
    assert found.sentence == "299 incidents are too few to say anything (300)"
    (line,) = ledger.entries()
    assert line.evidence["status"] == "too few"
    assert channel.told == []
    assert "too few incidents to say anything" in (watcher.folder / PAGE).read_text()
    nobody = moved.take(np.zeros(len(moved), bool))
    assert look(watcher, nobody, champion).verdict.rows == 0


# -- the sentence ----------------------------------------------------------------------


def verdict(*scores: float) -> Verdict:
    components = tuple(
        Component(f"f{place}", "field", score / (1 - score), 1.0, significant=True, words="moved")
        for place, score in enumerate(scores)
    )
    some = Performance(0.8, Estimate.around(0.8, 0.01, 500), None, None)
    return Verdict(1500, 0, None, None, components, some, MonitorParams())


def test_the_sentence_names_what_is_worst() -> None:
    assert sentence(verdict(0.1)) == "ok: drift score 0.10 on 1,500 incidents"
    assert sentence(verdict(0.1, 0.4, 0.35)) == (
        "warning: drift score 0.40 on 1,500 incidents: f1 0.40 (moved); f2 0.35 (moved)"
    )
    # Of an alarm, only what is critical.
    assert sentence(verdict(0.4, 0.8)) == (
        "critical: drift score 0.80 on 1,500 incidents: f1 0.80 (moved)"
    )
    many = sentence(verdict(*[0.6 + place / 100 for place in range(8)]))
    assert many.endswith("f3 0.63 (moved); and 3 more")
    assert many.count("(moved)") == 5


# -- Evidently's page ------------------------------------------------------------------


@pytest.mark.slow
def test_evidentlys_page_is_linked_and_its_measures_are_kept(
    watcher: Watcher, champion: Bundle, moved: Observed
) -> None:
    older = replace(moved, label=moved.label[::-1].copy())
    unlabelled = replace(moved, label=np.full(len(moved), UNKNOWN), older=older)
    found = look(watcher, unlabelled, champion)
    page = watcher.compare(unlabelled, champion, found.document)
    assert page == watcher.folder / EVIDENTLY
    assert page.stat().st_size > 1_000_000
    assert f'href="{EVIDENTLY}"' in (watcher.folder / PAGE).read_text()
    document = json.loads((watcher.folder / DOCUMENT).read_text())
    measures = document.pop("evidently")
    assert document == found.document
    assert measures["area"]["jensenshannon"] > 0.2 > measures["vict_sex"]["jensenshannon"]
    assert measures["prediction"]["jensenshannon"] < 0.1
    # Labels came after their window, and are compared all the same.
    assert measures["label"]["jensenshannon"] < 0.1
    assert measures["vict_age"].keys() == {"wasserstein", "ks", "jensenshannon"}
    assert "mocodes" not in measures
