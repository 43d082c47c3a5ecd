from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.codes import category_of
from crimeguard.domain.errors import DataError
from crimeguard.ingest.frame import canonical
from crimeguard.ingest.snapshot import Snapshot, write_snapshot
from crimeguard.pipeline import Trained
from crimeguard.records.database import Database, open_database
from crimeguard.retrain.data import (
    Material,
    changed_mix,
    gather,
    newest_snapshot,
    train_until,
)
from crimeguard.settings import Settings
from crimeguard.train.fit import targets
from crimeguard.train.params import CheckParams, Params
from tests.records import rows
from tests.retrain.world import DAY, label, predictions, remember, traffic

NOW = dt.datetime(2023, 4, 20, 12, tzinfo=dt.UTC)
MATURE, FRESH = NOW - 8 * DAY, NOW - 6 * DAY
MARCH = dt.date(2023, 3, 1)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database(Settings(home=tmp_path))
    yield database
    database.close()


@pytest.fixture
def snapshot(incidents: pl.DataFrame, tmp_path: Path) -> Snapshot:
    return write_snapshot(incidents.head(300), tmp_path, source="tests")


@pytest.fixture(scope="module")
def march() -> pl.DataFrame:
    return traffic(40, start=MARCH)


def look(database: Database, home: Path, params: Params | None = None) -> Material:
    return gather(database, home, params or Params(), NOW)


@pytest.mark.usefixtures("snapshot")
def test_labelled_predictions_become_incidents_with_their_code(
    database: Database, march: pl.DataFrame, tmp_path: Path
) -> None:
    remember(database, march, at=MATURE)
    found = look(database, tmp_path)
    expected = canonical(march).require_clean("the traffic").sort("dr_no")
    mine = found.labelled.sort("dr_no")
    for name in ("dr_no", "crm_cd", "date_occ", "time_occ", "area", "mocodes", "vict_age"):
        assert mine[name].to_list() == expected[name].to_list(), name
    assert found.left_out == 0
    assert found.frame().height == 340
    assert targets(found.frame()).shape == (340,)


@pytest.mark.usefixtures("snapshot")
def test_labels_count_once_their_prediction_is_old_enough(
    database: Database, march: pl.DataFrame, tmp_path: Path
) -> None:
    remember(database, march.head(10), at=MATURE)
    remember(database, march.tail(20), at=FRESH)
    rows.write(database, predictions(march.slice(10, 5), at=MATURE))  # without labels
    assert look(database, tmp_path).labelled.height == 10
    quick = replace(Params(), monitor=replace(Params().monitor, maturity_days=0.0))
    assert look(database, tmp_path, quick).labelled.height == 30


@pytest.mark.usefixtures("snapshot")
def test_only_what_was_known_to_the_last_is_learnt_from(
    database: Database, march: pl.DataFrame, tmp_path: Path
) -> None:
    for level, part in enumerate((march.head(3), march.slice(3, 4), march.slice(7, 5))):
        remember(database, part, at=MATURE, level=level)
    found = look(database, tmp_path)
    assert found.labelled.height == 5
    assert found.left_out == 7


@pytest.mark.usefixtures("snapshot")
@pytest.mark.parametrize("column", ["DATE OCC", "Date Rptd", "AREA"])
def test_what_lacks_a_field_that_training_needs_is_left_out(
    column: str, database: Database, march: pl.DataFrame, tmp_path: Path
) -> None:
    remember(database, march.head(4).with_columns(pl.lit(None).alias(column)), at=MATURE)
    remember(database, march.tail(2), at=MATURE)
    found = look(database, tmp_path)
    assert (found.labelled.height, found.left_out) == (2, 4)


@pytest.mark.usefixtures("snapshot")
def test_of_several_answers_to_an_incident_the_newest_is_taken(
    database: Database, march: pl.DataFrame, tmp_path: Path
) -> None:
    one = march.head(1)
    remember(database, one.with_columns(pl.lit("21").alias("Vict Age")), at=MATURE - DAY)
    remember(database, one.with_columns(pl.lit("22").alias("Vict Age")), at=MATURE)
    remember(database, one.with_columns(pl.lit("23").alias("Vict Age")), at=MATURE - 2 * DAY)
    assert look(database, tmp_path).labelled["vict_age"].to_list() == [22]


@pytest.mark.usefixtures("snapshot")
def test_incidents_without_a_number_are_known_by_their_prediction(
    database: Database, march: pl.DataFrame, tmp_path: Path
) -> None:
    ids = rows.write(database, predictions(march.head(3), at=MATURE, numbered=False))
    label(database, ids, march.head(3))
    assert sorted(look(database, tmp_path).labelled["dr_no"]) == sorted(ids)


@pytest.mark.usefixtures("snapshot")
def test_a_label_without_a_code_gets_one_of_its_category(
    database: Database, march: pl.DataFrame, tmp_path: Path
) -> None:
    remember(database, march, at=MATURE, codes=False)
    found = look(database, tmp_path).labelled.sort("dr_no")
    true = march.sort("DR_NO")["Crm Cd"]
    assert [category_of(code) for code in found["crm_cd"]] == [category_of(int(x)) for x in true]


def test_what_the_snapshot_holds_is_left_out_but_is_still_labelled(
    database: Database, march: pl.DataFrame, tmp_path: Path, snapshot: Snapshot
) -> None:
    remember(database, march, at=MATURE)
    first = look(database, tmp_path)
    last = snapshot.frame()["date_occ"].max()
    assert isinstance(last, dt.date)
    assert first.newer_than(last) == 40
    write_snapshot(first.frame(), tmp_path, source="a retraining")
    second = look(database, tmp_path)
    assert second.snapshot.id != first.snapshot.id
    assert second.labelled.height == 0
    assert second.newer_than(last) == 40
    assert second.newer_than(MARCH) == march.height - int(
        (first.labelled["date_occ"] == MARCH).sum()
    )
    assert second.digest(Params()) == first.digest(Params())


@pytest.mark.usefixtures("snapshot")
def test_the_digest_is_of_rows_and_parameters_whatever_their_order(
    database: Database, march: pl.DataFrame, tmp_path: Path
) -> None:
    remember(database, march, at=MATURE)
    found = look(database, tmp_path)
    digest = found.digest(Params())
    assert look(database, tmp_path).digest(Params()) == digest
    assert replace(found, labelled=found.labelled.reverse()).digest(Params()) == digest
    assert found.digest(replace(Params(), seed=1)) != digest
    strict = replace(Params(), checks=CheckParams(max_ece=0.02))
    assert found.digest(strict) != digest
    assert replace(found, labelled=found.labelled.head(39)).digest(Params()) != digest
    other = found.labelled.with_columns(crm_cd=pl.lit(510, pl.Int32))
    assert replace(found, labelled=other.cast(found.labelled.schema)).digest(Params()) != digest
    older = found.labelled.with_columns(pl.col("vict_age") + 1)
    assert replace(found, labelled=older).digest(Params()) != digest


def test_without_labels_there_is_the_snapshot(
    database: Database, tmp_path: Path, snapshot: Snapshot
) -> None:
    found = look(database, tmp_path)
    assert found.newer_than(dt.date(2020, 1, 1)) == 0
    assert found.frame().equals(snapshot.frame())
    assert len(found.digest(Params())) == 16


def test_a_snapshot_with_fewer_columns_stays_so(
    database: Database, incidents: pl.DataFrame, march: pl.DataFrame, tmp_path: Path
) -> None:
    write_snapshot(incidents.head(50).drop("time_occ", "lat"), tmp_path, source="tests")
    remember(database, march, at=MATURE)
    frame = look(database, tmp_path).frame()
    assert frame.height == 90
    assert not {"time_occ", "lat"} & set(frame.columns)


def test_the_newest_snapshot_is_the_one_that_reaches_furthest(
    incidents: pl.DataFrame, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="no snapshot") as caught:
        newest_snapshot(tmp_path)
    assert "crimeguard train" in caught.value.fix
    ordered = incidents.sort("date_occ")
    new = write_snapshot(ordered.tail(20), tmp_path, source="tests")
    write_snapshot(ordered.head(20), tmp_path, source="tests")
    assert newest_snapshot(tmp_path).id == new.id
    same_end = write_snapshot(ordered.tail(30), tmp_path, source="tests")
    later = time.time() + 5
    os.utime(same_end.path / "manifest.json", (later, later))
    assert newest_snapshot(tmp_path).id == same_end.id


def days(*counts: int, start: dt.date = MARCH) -> pl.DataFrame:
    """Return a frame with so many incidents on each day from `start` on."""
    return pl.DataFrame(
        {"date_occ": [start + n * DAY for n, count in enumerate(counts) for _ in range(count)]}
    )


@pytest.mark.parametrize(
    ("counts", "least", "until"),
    [
        ([10] * 9, 10, 6),  # the newest third of nine days
        ([10] * 10, 10, 7),
        ([10] * 9, 45, 4),  # five days are needed for so many
        ([10] * 9, 90, 0),  # all of them
        ([10], 10, 0),
        ([1, 0, 0, 0, 0, 50], 20, 4),
    ],
)
def test_the_newest_third_of_the_new_days_is_held_out_and_enough_of_them(
    counts: list[int], least: int, until: int
) -> None:
    """`until` is counted from the last day of the champion's training."""
    params = replace(Params(), checks=CheckParams(min_test_rows=least))
    champion_until = MARCH - DAY
    old = days(100, start=dt.date(2023, 1, 1))
    found = train_until(pl.concat([old, days(*counts)]), champion_until, params)
    assert found == champion_until + until * DAY
    held_out = days(*counts).filter(pl.col("date_occ") > found).height
    assert held_out >= least


def test_a_third_of_the_days_that_were_served_is_held_out() -> None:
    params = replace(Params(), checks=CheckParams(min_test_rows=10))
    frame = pl.concat([days(100, start=dt.date(2023, 1, 1)), days(*[10] * 18)])
    served = MARCH + 9 * DAY
    assert train_until(frame, MARCH - DAY, params) == MARCH + 11 * DAY
    assert train_until(frame, MARCH - DAY, params, served) == MARCH + 14 * DAY
    assert train_until(frame, MARCH - DAY, params, MARCH - 20 * DAY) == MARCH + 11 * DAY


@pytest.mark.parametrize(("served", "until"), [(0, 6), (3, 7), (6, 8), (-4, 6)])
def test_days_before_the_first_labelled_prediction_are_trained_on(served: int, until: int) -> None:
    """`served` and `until` are counted from the last day of the champion's training."""
    params = replace(Params(), checks=CheckParams(min_test_rows=10))
    last = MARCH - DAY
    found = train_until(days(*[10] * 9), last, params, last + (served + 1) * DAY)
    assert found == last + until * DAY


@pytest.mark.usefixtures("snapshot")
def test_the_first_new_day_is_that_of_a_labelled_prediction(
    database: Database, march: pl.DataFrame, tmp_path: Path
) -> None:
    late = march.filter(pl.col("DATE OCC").str.slice(0, 10) >= "03/05/2023")
    remember(database, late, at=MATURE)
    found = look(database, tmp_path)
    assert found.first_newer_than(dt.date(2023, 1, 1)) == found.labelled["date_occ"].min()
    assert found.first_newer_than(dt.date(2023, 3, 20)) is None


def test_too_few_new_days_are_no_hold_out() -> None:
    params = replace(Params(), checks=CheckParams(min_test_rows=91))
    with pytest.raises(DataError, match="There are 90 incidents after 2023-02-28, 91 are needed"):
        train_until(days(*[10] * 9), MARCH - DAY, params)


def new_days(trained: Trained, mix: list[int]) -> pl.DataFrame:
    """Return incidents after the training, with shares of the categories as in `mix`."""
    test = trained.split.test.with_columns(_place=pl.Series(targets(trained.split.test)))
    parts = [
        test.filter(pl.col("_place") == place).sample(n, with_replacement=True, seed=place)
        for place, n in enumerate(mix)
        if n and (test["_place"] == place).any()
    ]
    return pl.concat(parts).drop("_place")


def test_a_mix_that_has_changed_is_told_and_one_that_has_not_is_not(
    trained: Trained, tiny_params: Params
) -> None:
    until = trained.split.test_until
    same = pl.concat([trained.split.train, trained.split.test])
    assert changed_mix(same, trained.bundle, until, tiny_params) is None
    counts = np.bincount(targets(trained.split.test), minlength=len(CATEGORIES))
    most = int(counts.argmax())
    other = [600 if place == most else 20 for place in range(len(CATEGORIES))]
    shifted = new_days(trained, other)
    mix = changed_mix(pl.concat([trained.split.train, shifted]), trained.bundle, until, tiny_params)
    assert mix is not None
    assert mix.shape == (15,)
    assert mix.sum() == pytest.approx(1)
    assert (mix > 0).all()
    week = shifted.filter(pl.col("date_occ") > until - 7 * DAY)
    true = np.bincount(targets(week), minlength=15) / week.height
    assert mix == pytest.approx(true, abs=0.003)
    # The days that are held out do not speak.
    before = trained.split.train_until
    assert changed_mix(shifted, trained.bundle, before, tiny_params) is None
    assert changed_mix(shifted.head(20), trained.bundle, until, tiny_params) is None


def test_labels_are_put_in_the_words_of_a_snapshot_of_another_coding(
    incidents: pl.DataFrame, database: Database, march: pl.DataFrame, tmp_path: Path
) -> None:
    """After the change of 2024 a pulled snapshot has no LAPD codes, and labels have no others."""
    coded = (
        incidents.head(300)
        .drop("crm_cd")
        .with_columns(offense=pl.lit("nibrs:240"), city=pl.lit("los-angeles"))
    )
    write_snapshot(coded, tmp_path, source="tests")
    remember(database, march, at=MATURE)
    found = look(database, tmp_path)
    assert "crm_cd" not in found.frame().columns
    expected = targets(canonical(march).require_clean("the traffic").sort("dr_no"))
    assert targets(found.labelled.sort("dr_no")).tolist() == expected.tolist()
    assert found.labelled["offense"].str.starts_with("category:").all()
    assert set(found.frame()["city"]) == {"los-angeles"}
    assert targets(found.frame()).shape == (340,)
