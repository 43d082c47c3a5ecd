from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer
from sqlalchemy import insert

from crimeguard.cli import app as program
from crimeguard.cli.experiment import experiment
from crimeguard.records.database import Database, open_database
from crimeguard.records.ledger import Ledger
from crimeguard.records.moment import to_moment
from crimeguard.records.tables import LABEL
from crimeguard.registry.experiments import running
from crimeguard.registry.store import open_registry
from crimeguard.settings import Settings
from tests.cli.world import crimeguard, refused
from tests.records.rows import write
from tests.records.test_trial import TRUTH, shadowed

DAY = dt.timedelta(days=1)


@pytest.fixture(autouse=True)
def verbs(monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback()(lambda: None)
    app.add_typer(experiment)
    monkeypatch.setattr(program, "app", app)


@pytest.fixture
def settings(three_versions: Path, use_home: Callable[[Path], Settings]) -> Settings:
    """Version 1 in production, 2 and 3 registered."""
    return use_home(three_versions)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Records without a registry."""
    monkeypatch.setenv("CRIMEGUARD_HOME", str(tmp_path))
    return Settings.load()


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    database = open_database(settings)
    yield database
    database.close()


def log_pairs(settings: Settings, number: int) -> None:
    """Let so many incidents be logged and labelled that only the challenger got right."""
    with opened(settings) as database:
        found = running(Ledger(database))
        assert found is not None
        at = to_moment(dt.datetime.now(dt.UTC) - 10 * DAY)
        old, new = found.contest.champion, found.contest.challenger
        rows = [
            row._replace(experiment=found.id, made_at=at, bundle=new if row.answered_id else old)
            for _ in range(number) for row in shadowed(False, True)
        ]  # fmt: skip
        write(database, rows)
        with database.writing() as connection:
            connection.execute(insert(LABEL), [
                {"prediction_id": row.id, "category": TRUTH, "crm_cd": None, "source": "t",
                 "labelled_at": at} for row in rows[::2]
            ])  # fmt: skip


def test_the_whole_life_of_an_experiment(settings: Settings) -> None:
    begun = crimeguard("experiment", "start", "--mode", "shadow", "--version", "2",
                       "--horizon", "200", "--why", "to see")  # fmt: skip
    assert begun.code == 0, begun.err
    assert "version 2 as a shadow" in begun.err
    again = crimeguard("experiment", "start", "--mode", "shadow", "--version", "3")
    refused(again, 1, "One runs already")
    registry = open_registry(settings)
    before = json.loads(crimeguard("experiment", "status", "--json").out)
    assert before["running"] is True
    assert before["experiment"]["challenger"] == registry.sha256_of("2")
    assert before["experiment"]["champion"] == registry.sha256_of("1")
    assert before["experiment"]["finding"]["verdict"] == "undecided"
    assert before["experiment"]["plan"]["maturity_days"] == 7.0
    log_pairs(settings, 30)
    told = crimeguard("experiment", "status")
    for words in ("champion   30 predictions, 30 labelled", "accuracy 0.0%", "accuracy 100.0%",
                  "the challenger is better", "difference +100.00%",
                  "170 of 200 labelled incidents are missing"):  # fmt: skip
        assert words in told.err, told.err
    crimeguard("experiment", "status")
    with opened(settings) as database:
        events = [line.evidence["event"] for line in Ledger(database).entries("experiment")]
    assert events == ["started", "decided"]
    ended = crimeguard("experiment", "stop", "--reason", "it is better", "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["experiment"]["stopped"]["why"] == "it is better"
    refused(crimeguard("experiment", "stop", "--reason", "again"), 1, "no experiment to stop")
    assert "stopped" in crimeguard("experiment", "status").err


def test_a_split_is_started_with_its_share(settings: Settings) -> None:
    done = crimeguard("experiment", "start", "--mode", "split", "--share", "0.25", "--version",
                      "2", "--method", "fixed", "--maturity-days", "0", "--json")  # fmt: skip
    begun = json.loads(done.out)
    assert (begun["mode"], begun["share"], begun["plan"]["method"]) == ("split", 0.25, "fixed")
    assert "a split of 0.25" in crimeguard("experiment", "status").err


def test_what_cannot_be_compared_is_an_error(settings: Settings) -> None:
    start = ("experiment", "start", "--mode", "shadow", "--version")
    refused(crimeguard(*start, "9"), 1, "no version 9")
    refused(crimeguard(*start, "1"), 2, "is what is in production")


@pytest.mark.parametrize(
    "words",
    [
        ("--mode", "mirror", "--version", "2"),
        ("--mode", "shadow"),
        ("--mode", "shadow", "--version", "x"),
        ("--mode", "split", "--version", "2"),
        ("--mode", "split", "--share", "1.5", "--version", "2"),
        ("--mode", "shadow", "--share", "0.5", "--version", "2"),
        ("--mode", "shadow", "--version", "2", "--alpha", "0"),
        ("--mode", "shadow", "--version", "2", "--horizon", "0"),
    ],
)
def test_wrong_words_are_usage_errors(bare: Settings, words: tuple[str, ...]) -> None:
    refused(crimeguard("experiment", "start", *words), 2)


def test_without_any_experiment_status_says_so(bare: Settings) -> None:
    done = crimeguard("experiment", "status")
    assert done.code == 0
    assert "there has been no experiment" in done.err
    none = json.loads(crimeguard("experiment", "status", "--json").out)
    assert none == {"running": False, "experiment": None}
    refused(crimeguard("experiment", "stop"), 2, "--reason")


def test_the_help_begins_with_examples(bare: Settings) -> None:
    for verb in ("start", "status", "stop"):
        said = crimeguard("experiment", verb, "--help").out
        assert f"crimeguard experiment {verb}" in said
