from __future__ import annotations

import datetime as dt
from dataclasses import replace

import polars as pl
import pytest

from crimeguard.domain.errors import DataError, UsageError
from crimeguard.train.params import SplitParams
from crimeguard.train.split import calibration_split, split_by_time, thinned, up_to

PARAMS = SplitParams(test_share=0.2, calibration_days=10, embargo_days=3, reported_by_then=False)


def day(number: int) -> dt.date:
    """Return a day of January 2023, or after it."""
    return dt.date(2023, 1, 1) + dt.timedelta(number - 1)


def table(days: int = 50, late: int = 0) -> pl.DataFrame:
    """Two incidents a day, out of order; the second is reported `late` days later."""
    rows = [
        {"dr_no": f"{number:03}{copy}", "date_occ": day(number), "time_occ": 100 * copy,
         "date_rptd": day(number + late * copy)}
        for number in range(1, days + 1) for copy in (0, 1)
    ]  # fmt: skip
    return pl.DataFrame(rows).sample(fraction=1, shuffle=True, seed=1)


def test_the_newest_share_of_the_days_is_the_test() -> None:
    split = split_by_time(table(50), PARAMS)
    assert split.train_until == day(40)
    assert split.test_until == day(50)
    assert (split.train["date_occ"].min(), split.train["date_occ"].max()) == (day(1), day(40))
    assert (split.test["date_occ"].min(), split.test["date_occ"].max()) == (day(41), day(50))
    assert split.train.height + split.test.height == 100


@pytest.mark.parametrize("until", [day(10), day(25), day(49)])
def test_no_test_incident_is_of_the_training_window(until: dt.date) -> None:
    split = split_by_time(table(), PARAMS, until, day(49))
    assert (split.train["date_occ"] <= until).all()
    assert (split.test["date_occ"] > until).all()
    assert (split.test["date_occ"] <= day(49)).all()
    assert set(split.train["dr_no"]).isdisjoint(split.test["dr_no"])
    assert split.test.height == 2 * (49 - (until - day(1)).days - 1)


def test_incidents_come_in_the_order_of_time() -> None:
    split = split_by_time(table(), PARAMS)
    for part in (split.train, split.test):
        assert part.rows() == part.sort("date_occ", "time_occ", "dr_no").rows()
    again = split_by_time(table().reverse(), PARAMS)
    assert again.train.equals(split.train)


def test_a_table_without_times_can_be_split() -> None:
    split = split_by_time(table().drop("time_occ", "dr_no"), PARAMS)
    assert split.train["date_occ"].is_sorted()


def test_what_was_not_reported_by_then_is_not_known() -> None:
    waits = split_by_time(table(late=5), PARAMS, day(40))
    assert waits.train.height == 80
    strict = SplitParams(reported_by_then=True)
    split = split_by_time(table(late=5), strict, day(40))
    assert split.train.height == 75
    assert (split.train["date_rptd"] <= day(40)).all()
    assert split.test.height == waits.test.height


def test_incidents_without_a_day_of_report_count_as_reported() -> None:
    strict = SplitParams(reported_by_then=True)
    blank = table(late=5).with_columns(date_rptd=pl.lit(None, pl.Date))
    assert up_to(blank, day(40), strict).height == 80
    assert up_to(table(late=5).drop("date_rptd"), day(40), strict).height == 80


def test_a_test_that_ends_before_training_does_is_refused() -> None:
    with pytest.raises(UsageError, match="before training ends"):
        split_by_time(table(), PARAMS, day(40), day(30))


def test_nothing_to_train_on() -> None:
    with pytest.raises(DataError, match="No incident to train on"):
        split_by_time(table(), PARAMS, dt.date(2022, 12, 31))


def test_no_date_at_all() -> None:
    with pytest.raises(DataError, match="no incident with a date"):
        split_by_time(table().clear(), PARAMS)


def test_a_day_beyond_the_data_leaves_an_empty_test() -> None:
    assert split_by_time(table(), PARAMS, day(99), day(100)).test.height == 0


def test_members_never_see_the_days_of_calibration_nor_those_just_before() -> None:
    fit, calibrate = calibration_split(table(), day(50), PARAMS)
    assert calibrate["date_occ"].min() == day(41)
    assert calibrate["date_occ"].max() == day(50)
    assert fit["date_occ"].max() == day(37)
    assert fit["date_occ"].min() == day(1)


def test_the_embargo_is_as_long_as_is_said() -> None:
    for days in (0, 1, 7):
        fit, calibrate = calibration_split(table(), day(50), SplitParams(embargo_days=days))
        last, first = fit["date_occ"].max(), calibrate["date_occ"].min()
        assert isinstance(last, dt.date)
        assert isinstance(first, dt.date)
        assert (first - last).days == days + 1


def test_a_short_window_gives_at_most_a_quarter_to_calibration() -> None:
    fit, calibrate = calibration_split(table(12), day(12), PARAMS)
    assert calibrate["date_occ"].min() == day(10)
    assert fit["date_occ"].max() == day(6)


def test_a_late_report_is_not_known_when_calibration_begins() -> None:
    fit, _ = calibration_split(table(late=5), day(50), SplitParams(
        calibration_days=10, embargo_days=3, reported_by_then=True))  # fmt: skip
    assert (fit["date_rptd"] <= day(37)).all()


@pytest.mark.parametrize("days", [1, 3, 4])
def test_too_few_days(days: int) -> None:
    with pytest.raises(DataError, match="too few days"):
        calibration_split(table(days), day(days), PARAMS)


def test_of_many_incidents_a_sample_is_taken_evenly_over_time() -> None:
    bound = replace(PARAMS, most_training_rows=40, most_test_rows=10)
    split, whole = split_by_time(table(50), bound), split_by_time(table(50), PARAMS)
    assert (split.train.height, split.test.height) == (40, 10)
    assert split.train["date_occ"].to_list() == [day(number) for number in range(1, 41)]
    assert split.test["date_occ"].to_list() == [day(number) for number in range(41, 51)]
    assert set(split.train["dr_no"]) < set(whole.train["dr_no"])
    assert split.train_days.equals(whole.train["date_occ"])
    assert split.test_rows == whole.test.height == 20
    assert (split.sample, split.test_sample) == (
        "40 of 80, evenly over time", "10 of 20, evenly over time",
    )  # fmt: skip
    assert split_by_time(table(50).reverse(), bound).train.equals(split.train)


def test_few_incidents_are_all_taken() -> None:
    split = split_by_time(table(50), replace(PARAMS, most_training_rows=80, most_test_rows=20))
    assert (split.train.height, split.test.height) == (80, 20)
    assert split.sample == split.test_sample == "all"


@pytest.mark.parametrize(("rows", "most"), [(10, 7), (7, 6), (100, 99), (1000, 3)])
def test_a_sample_has_no_row_twice_and_no_wide_gap(rows: int, most: int) -> None:
    kept = thinned(pl.DataFrame({"row": range(rows)}), most)["row"]
    assert len(kept) == most
    steps = {int(step) for step in kept.diff().drop_nulls()}
    assert steps <= {rows // most, rows // most + 1}
