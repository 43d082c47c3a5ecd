from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.errors import DataError
from crimeguard.domain.incident import INCIDENT_FIELDS
from crimeguard.domain.level import InformationLevel
from crimeguard.ingest.simulator import simulate
from crimeguard.monitor.observed import UNKNOWN, Observed
from crimeguard.monitor.sources import observe_file, observe_frame, observe_log
from crimeguard.monitor.verdict import judge_window
from crimeguard.records.database import Database
from crimeguard.records.entry import entries_of
from crimeguard.records.labels import Label, add_labels
from crimeguard.records.moment import to_moment
from crimeguard.records.prediction_log import PredictionLog
from crimeguard.registry.bundle import Bundle
from crimeguard.train.fit import targets
from crimeguard.train.params import MonitorParams
from tests.monitor.windows import END, PARAMS, START, observe, window

NOW = dt.datetime(2023, 3, 20, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)


def log(
    database: Database, frame: pl.DataFrame, answered: Observed, at: dt.datetime,
    *, bundle: str, variant: str = "champion",
) -> list[str]:  # fmt: skip
    """Log incidents as the service would, and return their identifiers."""
    inputs = frame.select(INCIDENT_FIELDS).write_ndjson().splitlines()
    rows = entries_of(
        answered.probabilities, answered.level, inputs, bundle=bundle, dr_no=frame["dr_no"],
        variant=variant, made_at=to_moment(at),
    )  # fmt: skip
    with PredictionLog(database) as to:
        to.submit(rows).result(timeout=60)
    return [row.id for row in rows]


def label(database: Database, ids: list[str], places: list[int]) -> None:
    add_labels(database, [Label(one, CATEGORIES[place], None, "tests")
                          for one, place in zip(ids, places, strict=True)])  # fmt: skip


def read(
    database: Database, champion: Bundle, params: MonitorParams = PARAMS,
    since: dt.datetime | None = None,
) -> Observed:  # fmt: skip
    return observe_log(database, champion, params, now=NOW, since=since)


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    return window(21)


@pytest.fixture(scope="module")
def few(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.head(5)


# -- the log ---------------------------------------------------------------------------


@pytest.mark.parametrize("drifted", [False, True])
def test_log_and_file_come_to_the_same_verdict(
    database: Database, champion: Bundle, frame: pl.DataFrame, drifted: bool, tmp_path: Path
) -> None:
    raw = pl.concat(simulate(2_000, seed=21, start=START, end=END))
    if drifted:
        raw = raw.with_columns(Mocodes=pl.lit(""))
    path = tmp_path / "march.csv"
    raw.write_csv(path)
    from_file = observe_file(path, champion, PARAMS)
    if drifted:
        frame = frame.with_columns(mocodes=pl.lit([], pl.List(pl.Int16)))
    ids = log(database, frame, observe(champion, frame), NOW - HOUR, bundle=champion.sha256)
    label(database, ids, targets(frame).tolist())
    from_log = read(database, champion)
    assert len(from_log) == len(from_file) == 2_000
    assert from_log.fields.equals(from_file.fields)
    np.testing.assert_array_equal(from_log.probabilities, from_file.probabilities)
    first, second = (
        judge_window(champion.reference, part, PARAMS) for part in (from_file, from_log)
    )
    assert first.to_dict() == second.to_dict()
    assert first.labels == 2_000
    assert first.status == ("critical" if drifted else "ok")


def test_only_the_champions_own_answers_count(
    database: Database, champion: Bundle, few: pl.DataFrame
) -> None:
    answered = observe(champion, few)
    log(database, few, answered, NOW - HOUR, bundle="0" * 64)
    log(database, few, answered, NOW - HOUR, bundle=champion.sha256, variant="challenger")
    assert len(read(database, champion)) == 0
    log(database, few.head(3), answered.take(np.arange(5) < 3), NOW - HOUR, bundle=champion.sha256)
    found = read(database, champion)
    assert len(found) == 3
    assert found.fields.equals(answered.fields.head(3))
    assert found.label.tolist() == [UNKNOWN] * 3


def test_what_a_challenger_answers_in_a_split_is_not_missing_from_the_volume(
    database: Database, champion: Bundle, frame: pl.DataFrame
) -> None:
    """Half of the incidents of each day meet the challenger; alone they would be an alarm."""
    mine = np.arange(frame.height) % 2 == 0
    answered = observe(champion, frame)
    half, rest = frame.filter(pl.Series(mine)), frame.filter(pl.Series(~mine))
    log(database, half, answered.take(mine), NOW - HOUR, bundle=champion.sha256)
    alone = read(database, champion)
    assert alone.share == 1.0
    log(database, rest, answered.take(~mine), NOW - HOUR, bundle="c" * 64, variant="challenger")
    shared = read(database, champion)
    assert shared.share == 0.5

    def volume(observed: Observed) -> float:
        verdict = judge_window(champion.reference, observed, PARAMS)
        (found,) = [item for item in verdict.components if item.name == "volume"]
        return float(found.measures["ratio"])

    assert volume(shared) == pytest.approx(2 * volume(alone))
    whole = Observed.of(frame, answered.level, answered.probabilities, answered.label)
    assert volume(shared) == pytest.approx(volume(whole), rel=0.02)  # medians of days


def test_the_window_is_the_last_days_or_from_a_moment_on(
    database: Database, champion: Bundle, few: pl.DataFrame
) -> None:
    answered = observe(champion, few)
    for days in (7 * DAY + HOUR, 7 * DAY - HOUR, DAY, -HOUR):
        log(database, few, answered, NOW - days, bundle=champion.sha256)
    assert len(read(database, champion)) == 10
    assert len(read(database, champion, replace(PARAMS, window_days=8))) == 15
    assert len(read(database, champion, replace(PARAMS, window_days=0.5))) == 0
    assert len(read(database, champion, since=NOW - 2 * DAY)) == 5
    assert len(read(database, champion, since=NOW - 30 * DAY)) == 15
    assert len(read(database, champion, replace(PARAMS, max_rows=7))) == 7


def test_what_is_above_the_level_was_sent_and_is_not_compared(
    database: Database, champion: Bundle, few: pl.DataFrame
) -> None:
    answered = observe(champion, few, np.array([0, 1, 2, 2, 0]))
    log(database, few, answered, NOW - HOUR, bundle=champion.sha256)
    found = read(database, champion)
    assert found.level.tolist() == [0, 1, 2, 2, 0]
    assert found.known_from(InformationLevel.REPORT).height == 2
    assert found.known_from(InformationLevel.VICTIM).height == 3


def test_a_label_counts_once_its_prediction_is_old_enough(
    database: Database, champion: Bundle, few: pl.DataFrame
) -> None:
    answered = observe(champion, few)
    second = dt.timedelta(seconds=1)
    for age in (2 * DAY - second, 2 * DAY):
        ids = log(database, few, answered, NOW - age, bundle=champion.sha256)
        label(database, ids[:3], [1, 2, 3])
    params = replace(PARAMS, maturity_days=2)
    found = read(database, champion, params, since=NOW - 3 * DAY)
    assert found.label.tolist() == [1, 2, 3, -1, -1, -1, -1, -1, -1, -1]
    assert len(read(database, champion, params).matured) == 3
    assert len(read(database, champion, replace(params, maturity_days=3)).matured) == 0
    assert len(read(database, champion, replace(params, maturity_days=0)).matured) == 6


def test_labels_mature_after_their_window_and_count_all_the_same(
    database: Database, champion: Bundle, few: pl.DataFrame
) -> None:
    """With a window of seven days and seven days of maturity, no label of the window counts."""
    answered = observe(champion, few)
    for days in (15, 13, 8, 6, 1):
        ids = log(database, few, answered, NOW - days * DAY, bundle=champion.sha256)
        label(database, ids[:2], [days % 15] * 2)
    ids = log(database, few, answered, NOW - 9 * DAY, bundle="0" * 64)
    label(database, ids, [0] * 5)
    found = read(database, champion, MonitorParams())
    assert len(found) == 10
    assert found.label.tolist() == [-1] * 10
    assert found.matured.label.tolist() == [13, 13, 8, 8]
    # Whoever names a moment gets just what was answered since.
    assert len(read(database, champion, MonitorParams(), since=NOW - 10 * DAY).matured) == 2


def test_so_many_older_labels_are_enough(
    database: Database, champion: Bundle, few: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = observe(champion, few)
    for days in (13, 12, 11):
        ids = log(database, few, answered, NOW - days * DAY, bundle=champion.sha256)
        label(database, ids, [days] * 5)
    assert len(read(database, champion, MonitorParams()).matured) == 15
    monkeypatch.setattr("crimeguard.monitor.sources._MOST_OLDER", 7)
    found = read(database, champion, MonitorParams())
    assert found.matured.label.tolist() == [12] * 2 + [11] * 5  # the newest of them
    assert len(read(database, champion, MonitorParams(max_rows=3)).matured) == 3


def test_an_empty_log_is_an_empty_window(database: Database, champion: Bundle) -> None:
    found = read(database, champion)
    assert len(found) == len(found.matured) == 0
    assert judge_window(champion.reference, found, PARAMS).status == "too few"


# -- files and frames ------------------------------------------------------------------


def test_codes_are_the_labels_and_an_unknown_code_is_none(
    champion: Bundle, few: pl.DataFrame
) -> None:
    codes = few.with_columns(crm_cd=pl.Series([510, 999, None, 330, 1], dtype=pl.Int32))
    found = observe_frame(codes, champion)
    vehicle, burglary = (CATEGORIES.index(name) for name in ("vehicle_theft", "theft_from_vehicle"))
    assert found.label.tolist() == [vehicle, -1, -1, burglary, -1]
    assert observe_frame(few.drop("crm_cd"), champion).label.tolist() == [-1] * 5
    assert observe_frame(few, champion).label.tolist() == targets(few).tolist()


def test_a_frame_is_answered_in_parts_as_a_whole(
    champion: Bundle, frame: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = observe_frame(frame.head(100), champion)
    monkeypatch.setattr("crimeguard.monitor.sources.CHUNK", 33)
    told: list[int] = []
    parts = observe_frame(frame.head(100), champion, on_rows=told.append)
    np.testing.assert_array_equal(parts.probabilities, whole.probabilities)
    assert told == [33, 33, 33, 1]
    assert len(observe_frame(frame.clear(), champion)) == 0


def test_a_file_of_fewer_columns_is_of_a_lower_level(champion: Bundle, frame: pl.DataFrame) -> None:
    calls = frame.select("dr_no", "date_occ", "time_occ", "area", "premis_cd")
    assert set(observe_frame(calls, champion).level.tolist()) == {0}


def test_a_file_is_bounded_and_its_bad_rows_are_refused_or_dropped(
    champion: Bundle, tmp_path: Path
) -> None:
    raw = pl.concat(simulate(400, seed=21, start=START, end=END))
    path = tmp_path / "march.csv"
    raw.write_csv(path)
    assert len(observe_file(path, champion, replace(PARAMS, max_rows=120))) == 120
    bad = pl.when(pl.int_range(pl.len()) < 10).then(pl.lit("north")).otherwise("AREA").alias("AREA")
    raw.with_columns(bad).write_csv(path)
    with pytest.raises(DataError, match=r"10 of 400 rows of march\.csv"):
        observe_file(path, champion, PARAMS)
    assert len(observe_file(path, champion, PARAMS, drop_bad=True)) == 390
