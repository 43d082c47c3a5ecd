import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crimeguard.domain.errors import BadValue, DataError
from crimeguard.domain.field import BY_NAME, FORBIDDEN_FEATURES
from crimeguard.domain.incident import INCIDENT_FIELDS, Incident, as_text, repair_record
from crimeguard.domain.level import InformationLevel

CALL, VICTIM, REPORT = InformationLevel
RECORD: dict[str, Any] = {
    "DR_NO": "230413405",
    "Date Rptd": "01/09/2023 12:00:00 AM",
    "DATE OCC": "01/08/2023 12:00:00 AM",
    "TIME OCC": "30",
    "AREA": "04",
    "AREA NAME": "Hollenbeck",
    "Rpt Dist No": "0444",
    "Part 1-2": "2",
    "Crm Cd": "624",
    "Crm Cd Desc": "BATTERY - SIMPLE ASSAULT",
    "Mocodes": "0444 0913",
    "Vict Age": "36",
    "Vict Sex": "F",
    "Vict Descent": "B",
    "Premis Cd": "501.0",
    "Weapon Used Cd": "400.0",
    "Status": "AO",
    "LOCATION": "1100 W  39TH      PL",
    "Cross Street": "",
    "LAT": "34.0141",
    "LON": "-118.2978",
}
HERE: dict[str, Any] = {"DATE OCC": "2023-01-08", "AREA": 4}


def reasons(record: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(DataError) as caught:
        Incident.from_record(record)
    return [(bad.column, bad.reason) for bad in caught.value.bad]


def test_a_row_of_the_export_becomes_an_incident() -> None:
    assert Incident.from_record(RECORD) == Incident(
        date_occ=dt.date(2023, 1, 8),
        time_occ=30,
        area=4,
        rpt_dist_no=444,
        premis_cd=501,
        location="1100 W 39TH PL",
        cross_street=None,
        lat=34.0141,
        lon=-118.2978,
        date_rptd=dt.date(2023, 1, 9),
        vict_age=36,
        vict_sex="F",
        vict_descent="B",
        weapon_used_cd=400,
        mocodes=(444, 913),
        level=REPORT,
    )


def test_headings_and_canonical_names_mean_the_same() -> None:
    headings = {item.column: name for name, item in BY_NAME.items()}
    renamed = {headings.get(key, key): value for key, value in RECORD.items()}
    assert renamed.keys() != RECORD.keys()
    assert Incident.from_record(renamed) == Incident.from_record(RECORD)


def test_an_incident_carries_nothing_that_the_model_may_not_see() -> None:
    assert FORBIDDEN_FEATURES.isdisjoint(INCIDENT_FIELDS)
    without = {key: value for key, value in RECORD.items() if key not in ("Crm Cd", "Status")}
    assert Incident.from_record(without) == Incident.from_record(RECORD)


@pytest.mark.parametrize(
    ("more", "level"),
    [
        ({}, CALL),
        ({"Premis Cd": "501"}, CALL),
        ({"Vict Age": ""}, VICTIM),
        ({"Date Rptd": "01/09/2023"}, VICTIM),
        ({"Mocodes": ""}, REPORT),
        ({"Weapon Used Cd": None, "Vict Sex": "F"}, REPORT),
    ],
)
def test_a_field_that_is_named_counts_even_when_blank(
    more: dict[str, Any], level: InformationLevel
) -> None:
    assert Incident.from_record(HERE | more).level is level


def test_a_level_asked_for_hides_but_never_adds() -> None:
    assert Incident.from_record(RECORD, level=CALL).level is CALL
    assert Incident.from_record(HERE, level=REPORT).level is CALL


@pytest.mark.parametrize(
    "place",
    [{"AREA": "4"}, {"Rpt Dist No": "0444"}, {"LAT": 34.05, "LON": -118.25}],
)
def test_any_of_three_places_is_enough(place: dict[str, Any]) -> None:
    assert Incident.from_record({"DATE OCC": "2023-01-08"} | place).date_occ.year == 2023


@pytest.mark.parametrize("place", [{}, {"LAT": 34.05}, {"LAT": 0, "LON": 0}, {"AREA": ""}])
def test_without_a_place_it_is_refused(place: dict[str, Any]) -> None:
    (bad,) = reasons({"DATE OCC": "2023-01-08"} | place)
    assert bad == ("AREA", "is missing: give AREA, Rpt Dist No, or LAT and LON")


@pytest.mark.parametrize("when", [{}, {"DATE OCC": ""}, {"date_occ": None}])
def test_without_a_day_it_is_refused(when: dict[str, Any]) -> None:
    (bad,) = reasons({"AREA": "4"} | when)
    assert bad == ("DATE OCC", "is missing: when did it happen?")


def test_when_and_where_missing_are_both_named() -> None:
    assert [column for column, _ in reasons({})] == ["DATE OCC", "AREA"]


@pytest.mark.parametrize(
    ("record", "column"),
    [
        ({"DATE OCC": "yesterday", "AREA": "4"}, "DATE OCC"),
        ({"date_occ": "yesterday", "area": "4"}, "date_occ"),
        ({"DATE OCC": "2023-01-08", "AREA": "Hollenbeck"}, "AREA"),
        ({"DATE OCC": "2023-01-08", "LAT": "99", "LON": "-118.25"}, "LAT"),
    ],
)
def test_an_unreadable_value_is_not_reported_as_missing_too(
    record: dict[str, Any], column: str
) -> None:
    ((named, reason),) = reasons(record)
    assert named == column
    assert "missing" not in reason


def test_every_bad_value_is_named_with_its_row() -> None:
    with pytest.raises(DataError) as caught:
        Incident.from_record(HERE | {"TIME OCC": "2561", "Vict Age": 400}, row=12)
    assert [(bad.row, bad.column) for bad in caught.value.bad] == [
        (12, "TIME OCC"),
        (12, "Vict Age"),
    ]
    assert "row 12, column 'TIME OCC': '2561' is not a time of day" in str(caught.value)


def test_a_long_bad_value_is_cut_in_the_message() -> None:
    _, (bad,) = repair_record({"TIME OCC": "9" * 10_000})
    assert len(bad.value) == 80


def test_two_spellings_of_one_field_are_refused() -> None:
    (bad,) = reasons(HERE | {"date_occ": "2024-01-01"})
    assert bad == ("date_occ", "is a second value for date_occ")


def test_unknown_fields_are_left_out() -> None:
    values, bad = repair_record(HERE | {"Unnamed: 0": "17", "colour": "red"})
    assert values.keys() == {"date_occ", "area"}
    assert bad == []


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (None, ""),
        (float("nan"), ""),
        (501.0, "501.0"),
        (30, "30"),
        ([344, "1822"], "344 1822"),
        ((None, 344), " 344"),
        (dt.date(2023, 1, 8), "2023-01-08"),
        (dt.datetime(2023, 1, 8, 12, tzinfo=dt.UTC), "2023-01-08 12:00:00+00:00"),
        (" as it is ", " as it is "),
    ],
)
def test_values_are_written_as_an_export_would(raw: Any, text: str) -> None:
    assert as_text(raw) == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@settings(deadline=None)
@given(record=st.dictionaries(st.sampled_from(sorted(BY_NAME)) | st.text(max_size=5), JSON))
def test_any_record_is_an_incident_or_a_data_error(record: dict[str, Any]) -> None:
    bad: tuple[BadValue, ...] = ()
    incident: Incident | None = None
    try:
        incident = Incident.from_record(record)
    except DataError as error:
        bad = error.bad
    assert len(bad) == len(set(bad))
    assert (incident is None) == bool(bad)
    if incident is not None:
        assert isinstance(incident.date_occ, dt.date)
        assert {incident.area, incident.rpt_dist_no, incident.lat} != {None}
