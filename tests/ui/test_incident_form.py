import datetime as dt
from typing import Any

import pytest

from crimeguard.domain.errors import UsageError
from crimeguard.domain.incident import Incident
from crimeguard.domain.level import InformationLevel
from crimeguard.ui.incident_form import Filled, record_of

DAY = dt.date(2023, 3, 5)


def test_only_what_is_filled_is_sent() -> None:
    assert record_of(Filled(date=DAY, area=6)) == {"date_occ": "2023-03-05", "area": 6}


def test_everything_that_is_filled_is_sent_by_its_canonical_name() -> None:
    filled = Filled(
        date=DAY, time=dt.time(0, 5), area=6, premise=101, latitude=34.1, longitude=-118.3,
        district=645, age=30, sex="F", descent="H", reported=dt.date(2023, 3, 6), weapon=400,
        methods=(344, 1822),
    )  # fmt: skip
    assert record_of(filled) == {
        "date_occ": "2023-03-05", "time_occ": 5, "area": 6, "rpt_dist_no": 645, "premis_cd": 101,
        "lat": 34.1, "lon": -118.3, "date_rptd": "2023-03-06", "vict_age": 30, "vict_sex": "F",
        "vict_descent": "H", "weapon_used_cd": 400, "mocodes": [344, 1822],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("more", "level"),
    [
        ({}, InformationLevel.CALL),
        ({"premise": 101, "time": dt.time(12)}, InformationLevel.CALL),
        ({"sex": "F"}, InformationLevel.VICTIM),
        ({"sex": ""}, InformationLevel.VICTIM),
        ({"reported": DAY}, InformationLevel.VICTIM),
        ({"weapon": ""}, InformationLevel.REPORT),
        ({"methods": ("",)}, InformationLevel.REPORT),
        ({"methods": (344,)}, InformationLevel.REPORT),
    ],
)
def test_the_information_level_is_what_was_filled(
    more: dict[str, Any], level: InformationLevel
) -> None:
    record = record_of(Filled(date=DAY, area=6, **more))
    assert Incident.from_record(record).level is level


def test_none_recorded_is_sent_as_a_blank_field() -> None:
    record = record_of(Filled(date=DAY, area=6, sex="", weapon="", methods=("",)))
    assert record["vict_sex"] is None
    assert record["weapon_used_cd"] is None
    assert record["mocodes"] == []


@pytest.mark.parametrize(
    ("filled", "words"),
    [
        (Filled(area=6), "give the date"),
        (Filled(date=DAY), "where it happened"),
        (Filled(date=DAY, latitude=34.1), "both latitude and longitude"),
        (Filled(date=DAY, area=6, longitude=-118.3), "both latitude and longitude"),
        (Filled(date=DAY, area=6, reported=dt.date(2023, 3, 4)), "before it happened"),
    ],
)
def test_a_form_that_cannot_be_sent_is_said(filled: Filled, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        record_of(filled)


@pytest.mark.parametrize(
    "filled",
    [Filled(date=DAY, district=645), Filled(date=DAY, latitude=34.1, longitude=-118.3)],
)
def test_a_place_may_be_given_without_its_area(filled: Filled) -> None:
    assert Incident.from_record(record_of(filled)).area is None
