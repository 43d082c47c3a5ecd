from __future__ import annotations

from typing import Any

import pytest

from crimeguard.domain.field import CANONICAL_NAMES, EXPORT_COLUMNS, FORBIDDEN_FEATURES
from crimeguard.domain.incident import INCIDENT_FIELDS
from crimeguard.domain.level import InformationLevel
from crimeguard.serve.incident import LONGEST_TEXT, read_many, read_one
from crimeguard.serve.openapi import HEADINGS_EXAMPLE, NAMES_EXAMPLE
from crimeguard.serve.problem import BAD_INCIDENT, Problem

RAW_ROW = dict(
    zip(
        EXPORT_COLUMNS,
        ("230112345", "03/11/2023 12:00:00 AM", "03/10/2023 12:00:00 AM", "2130", "12",
         "77th Street", "1249", "1", "210", "ROBBERY", "0344 0416", "34", "F", "H", "101",
         "STREET", "400", "STRONG-ARM", "IC", "Invest Cont", "210", "998", "", "",
         "800 W  80TH    ST", "", "33.97", "-118.29"),
        strict=True,
    )
)  # fmt: skip


def flaws(record: Any) -> dict[str, str]:
    with pytest.raises(Problem) as caught:
        read_one(record)
    assert caught.value.kind is BAD_INCIDENT
    return {flaw.pointer: flaw.detail for flaw in caught.value.flaws}


def test_a_raw_portal_row_is_read_as_it_is() -> None:
    request = read_one(RAW_ROW)
    assert request.incident.premis_cd == 101
    assert request.incident.mocodes == (344, 416)
    assert request.dr_no == "230112345"
    assert set(request.ignored) == {
        column for column in EXPORT_COLUMNS if CANONICAL_NAMES[column] not in INCIDENT_FIELDS
    }


def test_both_spellings_mean_the_same() -> None:
    by_name = {CANONICAL_NAMES[key]: value for key, value in RAW_ROW.items()}
    assert read_one(by_name).incident == read_one(RAW_ROW).incident


@pytest.mark.parametrize("name", sorted(FORBIDDEN_FEATURES & set(CANONICAL_NAMES)))
def test_what_the_model_may_not_see_changes_nothing_whatever_it_holds(name: str) -> None:
    for junk in ("junk", {"a": 1}, True, -5):
        request = read_one({**NAMES_EXAMPLE, name: junk})
        assert request.incident == read_one(NAMES_EXAMPLE).incident
        assert request.ignored == (name,)


def test_unknown_fields_are_refused_with_the_nearest_name() -> None:
    found = flaws({**HEADINGS_EXAMPLE, "Vict Agee": 3, "qqqqqqqq": 1})
    assert found["/Vict Agee"] == "is not a field of an incident; did you mean 'Vict Age'?"
    assert found["/qqqqqqqq"] == "is not a field of an incident."


def test_bad_values_are_pointed_at_as_they_were_spelled() -> None:
    found = flaws({**HEADINGS_EXAMPLE, "TIME OCC": "25:61", "Vict Age": "old"})
    assert "is not a time of day" in found["/TIME OCC"]
    assert "is not an age" in found["/Vict Age"]


def test_when_and_where_must_be_given() -> None:
    assert set(flaws({})) == {"/DATE OCC", "/AREA"}


@pytest.mark.parametrize("value", [True, {"a": 1}, [1], "x" * (LONGEST_TEXT + 1)])
def test_values_of_the_wrong_type_are_refused(value: Any) -> None:
    assert set(flaws({**NAMES_EXAMPLE, "area": value})) == {"/area"}


@pytest.mark.parametrize("value", [[[1]], [None] * 201, [True], {"a": 1}])
def test_mo_codes_are_text_or_a_short_list(value: Any) -> None:
    assert set(flaws({**NAMES_EXAMPLE, "mocodes": value})) == {"/mocodes"}


@pytest.mark.parametrize("record", [None, 3, "x", [], [{}]])
def test_what_is_no_object_is_refused(record: Any) -> None:
    assert set(flaws(record)) == {""}


def test_the_level_hides_what_is_above_it() -> None:
    request = read_one({**NAMES_EXAMPLE, "information_level": "call"})
    assert request.incident.level is InformationLevel.CALL
    assert request.ignored == ()
    assert read_one({**NAMES_EXAMPLE, "information_level": None}).incident.level == 2


@pytest.mark.parametrize("level", ["all", 3, ["call"], ""])
def test_unknown_levels_are_refused(level: Any) -> None:
    assert set(flaws({**NAMES_EXAMPLE, "information_level": level})) == {"/information_level"}


def test_a_list_points_at_each_of_its_flaws() -> None:
    with pytest.raises(Problem) as caught:
        read_many([NAMES_EXAMPLE, {**NAMES_EXAMPLE, "area": "x"}, 5], most=10, level=None)
    assert [flaw.pointer for flaw in caught.value.flaws] == ["/1/area", "/2"]


def test_the_lower_of_two_levels_counts() -> None:
    records = [{**NAMES_EXAMPLE, "information_level": "call"}, NAMES_EXAMPLE]
    read = read_many(records, most=10, level=InformationLevel.VICTIM)
    assert [item.incident.level.label for item in read] == ["call", "victim"]


@pytest.mark.parametrize("records", [[], {}, None, [NAMES_EXAMPLE] * 3])
def test_a_list_is_neither_empty_nor_too_long(records: Any) -> None:
    with pytest.raises(Problem) as caught:
        read_many(records, most=2, level=None)
    assert caught.value.flaws[0].pointer == ""
