from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import typer
import yaml

from crimeguard.cli import monitor as verb
from crimeguard.domain.errors import CrimeGuardError
from crimeguard.features.columns import Columns
from crimeguard.ingest.drift import Drift
from crimeguard.ingest.frame import canonical
from crimeguard.ingest.simulator import simulate
from crimeguard.monitor.watch import Look
from crimeguard.pipeline import Trained
from crimeguard.records.database import open_database
from crimeguard.records.ledger import Ledger
from crimeguard.settings import Settings
from tests.cli.world import crimeguard, refused
from tests.conftest import TINY, copy_home
from tests.retrain.world import DAY, remember, traffic

MARCH = dt.date(2023, 3, 1)
Use = Callable[[Path], Settings]


@pytest.fixture(scope="module")
def drifted() -> pl.DataFrame:
    drift = Drift.parse(f"class_mix_shift:1.0@{MARCH}")
    rows = pl.concat(simulate(500, seed=9, start=MARCH, end=MARCH + 6 * DAY, drifts=[drift]))
    return rows.with_columns(pl.concat_str(pl.lit("8"), "DR_NO").alias("DR_NO"))


def answer(home: Path, trained: Trained, rows: pl.DataFrame, at: dt.datetime) -> None:
    """Log what the champion answers, and what was true."""
    frame = canonical(rows).require_clean("the traffic")
    database = open_database(Settings(home=home))
    answers = trained.bundle.model.probabilities(Columns.from_frame(frame))
    remember(database, rows, at=at, bundle=trained.bundle.sha256, probabilities=answers)
    database.close()


@pytest.fixture(scope="module")
def watched(
    promoted_home: Path, trained: Trained, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A home with a week of traffic in the log that is like what was trained on."""
    home = tmp_path_factory.mktemp("watched") / "home"
    copy_home(promoted_home, home)
    rows = traffic(500, start=MARCH, days=7)
    answer(home, trained, rows, dt.datetime.now(dt.UTC) - 2 * DAY)
    return home


@pytest.fixture
def settings(
    watched: Path, use_home: Use, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    monkeypatch.chdir(tmp_path)
    monitor = {"maturity_days": 0.0, "volume": False}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({**TINY, "monitor": monitor}))
    return use_home(watched)


def look(*words: object) -> tuple[int, dict[str, object]]:
    told = crimeguard("monitor", "--no-evidently", "--json", *words)
    assert "Traceback" not in told.err
    return told.code, json.loads(told.out)


def test_traffic_as_before_is_no_drift(settings: Settings, trained: Trained) -> None:
    code, document = look()
    assert code == 0, document["sentence"]
    assert document["status"] in ("ok", "warning")
    assert (document["rows"], document["labels"]) == (500, 500)
    assert document["bundle"] == trained.bundle.sha256
    folder = settings.home / "monitoring"
    assert {path.name for path in folder.iterdir()} == {"drift.html", "drift.json"}
    assert json.loads((folder / "drift.json").read_text()) == document
    lines = json.loads(crimeguard("history", "--kind", "verdict", "--json").out)
    assert [line["evidence"]["status"] for line in lines] == [document["status"]]


def test_drift_is_exit_code_4_a_flag_and_a_line_and_is_over_when_it_is_over(
    settings: Settings, trained: Trained, drifted: pl.DataFrame
) -> None:
    now = dt.datetime.now(dt.UTC)
    answer(settings.home, trained, drifted, now)
    since = (now - dt.timedelta(hours=1)).isoformat()
    told = crimeguard("monitor", "--no-evidently", "--since", since)
    assert (told.code, told.out) == (4, "")
    assert "critical: drift score" in told.err
    assert "on 500 incidents" in told.err
    assert "realised" in told.err
    flag = settings.home / "monitoring" / "drift_detected"
    assert flag.read_text().startswith("critical: drift score")
    code, document = look("--since", since)
    assert (code, document["status"], document["rows"]) == (4, "critical", 500)
    assert document["drifted"]
    # Both weeks, since before the calm one: the window is the option's.
    assert look("--since", (now - 3 * DAY).isoformat())[1]["rows"] == 1000
    look("--since", since)
    assert look("--since", (now + DAY).isoformat())[1]["status"] == "too few"
    assert flag.exists()  # too few do not say that it is over
    traffic(500, start=MARCH, days=7).write_parquet(settings.home / "calm.parquet")
    assert look("--data", settings.home / "calm.parquet")[0] == 0
    assert not flag.exists()


def test_a_file_can_be_judged_and_the_pages_go_where_they_are_wanted(
    settings: Settings, drifted: pl.DataFrame, tmp_path: Path
) -> None:
    drifted.write_parquet(tmp_path / "rows.parquet")
    code, document = look("--data", "rows.parquet", "--out", tmp_path / "pages")
    assert (code, document["source"], document["rows"]) == (4, "rows.parquet", 500)
    assert {path.name for path in (tmp_path / "pages").iterdir()} == {
        "drift.html", "drift.json", "drift_detected",
    }  # fmt: skip
    assert not (settings.home / "monitoring").exists()


@pytest.mark.slow
def test_evidentlys_page_lies_beside_ours(settings: Settings) -> None:
    told = crimeguard("monitor")
    assert told.code == 0, told.err
    folder = settings.home / "monitoring"
    assert "evidently.html" in (folder / "drift.html").read_text()
    assert (folder / "evidently.html").stat().st_size > 10_000
    assert json.loads((folder / "drift.json").read_text())["evidently"]


def test_too_few_incidents_are_no_alarm(home: Callable[[], Settings]) -> None:
    home()
    told = crimeguard("monitor")
    assert told.code == 0
    assert "0 incidents are too few to say anything" in told.err


def test_without_a_champion_there_is_nothing_to_watch(empty_home: Path, use_home: Use) -> None:
    use_home(empty_home)
    refused(crimeguard("monitor", "--json"), 1, "nothing to watch", "crimeguard train")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--every", "soon"], "no period"),
        (["--every", "0s"], "no period"),
        (["--every", "-1h"], "no period"),
        (["--since", "yesterday"], "no time"),
    ],
)
def test_a_wrong_call_is_a_usage_error(words: list[str], said: str) -> None:
    refused(crimeguard("monitor", *words), 2, said)


def test_periods_and_moments() -> None:
    assert [verb.parse_period(text) for text in ("30s", "15m", "1h", "1.5d")] == [
        30, 900, 3600, 129600,
    ]  # fmt: skip
    with pytest.raises(typer.BadParameter):
        verb.parse_period("1w")
    noon = dt.datetime(2023, 3, 10, 12, tzinfo=dt.UTC)
    assert verb.parse_moment("2023-03-10T12:00") == noon
    assert verb.parse_moment("2023-03-10T13:00+01:00") == noon


@pytest.mark.slow
def test_it_goes_on_until_it_is_asked_to_end(settings: Settings, tmp_path: Path) -> None:
    environ = {**os.environ, "CRIMEGUARD_HOME": str(settings.home), "OMP_NUM_THREADS": "1"}
    words = ["monitor", "--no-evidently", "--every", "0.2s", "--json"]
    numbers = (signal.SIGTERM, signal.SIGINT)
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "crimeguard", *words, "--out", str(tmp_path / str(number))],
            cwd=tmp_path, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for number in numbers
    ]  # fmt: skip
    try:
        for child, number in zip(running, numbers, strict=True):
            assert child.stdout is not None
            seen = 0
            while seen < 2 and child.poll() is None:  # two whole documents
                seen += child.stdout.readline() == "}\n"
            child.send_signal(number)
            _, words_said = child.communicate(timeout=30)
            assert (child.returncode, words_said) == (0, "")
    finally:
        for child in running:
            child.kill()
            child.wait()
    database = open_database(settings)
    assert len(Ledger(database).entries("verdict")) >= 4
    database.close()


def test_what_fails_once_is_told_and_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    class EnoughError(Exception):
        pass

    looks = 0

    def look() -> Look:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise EnoughError
        raise CrimeGuardError("The registry is away.", fix="Wait.")

    with pytest.raises(EnoughError):
        verb._look_for_ever(look, 0.001)
    assert capsys.readouterr().err.count("error: The registry is away. Wait.") == 2
