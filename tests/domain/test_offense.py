from __future__ import annotations

import pytest

from crimeguard.domain.category import Category
from crimeguard.domain.codes import crime_codes
from crimeguard.domain.offense import (
    DOMESTIC,
    gravest,
    nibrs_of_lapd,
    offenses,
    repair_offense,
    repair_offenses,
)

NIBRS = {name: known for name, known in offenses().items() if name.startswith("nibrs:")}
IUCR = {name: known for name, known in offenses().items() if name.startswith("iucr:")}


@pytest.mark.parametrize(
    ("offense", "category"),
    [
        ("nibrs:09A", "homicide_kidnapping"), ("nibrs:100", "homicide_kidnapping"),
        ("nibrs:11A", "sex_offense"), ("nibrs:120", "robbery"),
        ("nibrs:13A", "aggravated_assault"), ("nibrs:13A+dv", "domestic_violence"),
        ("nibrs:13B", "simple_assault"), ("nibrs:13B+dv", "domestic_violence"),
        ("nibrs:13C", "threats_harassment"), ("nibrs:220", "burglary"),
        ("nibrs:23F", "theft_from_vehicle"), ("nibrs:23H", "theft"),
        ("nibrs:240", "vehicle_theft"), ("nibrs:26F", "fraud_identity_theft"),
        ("nibrs:290", "vandalism_arson"), ("nibrs:90Z", "public_order_other"),
        ("iucr:0110", "homicide_kidnapping"), ("iucr:031A", "robbery"),
        ("iucr:0486", "domestic_violence"), ("iucr:0460", "simple_assault"),
        ("iucr:041A", "aggravated_assault"), ("iucr:0810", "theft"), ("iucr:0610", "burglary"),
        ("iucr:0910", "vehicle_theft"), ("iucr:1153", "fraud_identity_theft"),
        ("iucr:1310", "vandalism_arson"), ("iucr:2826", "threats_harassment"),
        ("iucr:4387", "court_order_violation"), ("iucr:1563", "sex_offense"),
        ("iucr:2027", "public_order_other"), ("category:burglary", "burglary"),
    ],
)  # fmt: skip
def test_a_code_leads_to_its_category(offense: str, category: str) -> None:
    assert offenses()[offense].category == category


def test_what_is_in_no_table_has_no_category() -> None:
    for unknown in ("nibrs:99Z", "iucr:9999", "510", "category:other"):
        assert unknown not in offenses()


def test_the_tables_reach_every_category_but_those_that_a_coding_does_not_know() -> None:
    """docs/sources.md says which these are."""
    every = set(Category)
    assert every - {known.category for known in NIBRS.values()} == {Category.COURT_ORDER_VIOLATION}
    assert every - {known.category for known in IUCR.values()} == {Category.THEFT_FROM_VEHICLE}


def test_every_code_has_a_description_and_every_rank_is_given_once() -> None:
    assert all(known.description for known in offenses().values())
    ranks = sorted(known.rank for known in NIBRS.values())
    assert ranks == list(range(1, len(NIBRS) + 1))
    assert {known.rank for known in IUCR.values()} == {0}


def test_the_hierarchy_is_the_fbis() -> None:
    """Murder, rape, robbery, aggravated assault, burglary; vehicle theft before other theft."""
    order = ["09A", "09B", "11A", "120", "13A", "220", "240", "23H", "200"]
    ranks = [NIBRS[f"nibrs:{code}"].rank for code in order]
    assert ranks == sorted(ranks)
    assert gravest(["nibrs:90Z", "nibrs:13B", "nibrs:220"]) == "nibrs:220"
    assert gravest(["nibrs:23F", "nibrs:240"]) == "nibrs:240"
    assert gravest([]) is None


def test_an_unknown_offence_never_hides_behind_a_known_one() -> None:
    assert gravest(["nibrs:09A", "nibrs:99Z"]) == "nibrs:99Z"


def test_every_lapd_code_is_an_offence_of_the_new_coding() -> None:
    assert nibrs_of_lapd().keys() == crime_codes().keys()
    assert {f"nibrs:{code}" for code in nibrs_of_lapd().values()} <= NIBRS.keys()


def test_the_change_of_coding_moves_what_the_documentation_says() -> None:
    moved = {
        code for code, crime in crime_codes().items()
        if NIBRS[f"nibrs:{nibrs_of_lapd()[code]}"].category != crime.category
    }  # fmt: skip
    court = {900, 901, 902, 903, 904, 906}
    employee, repair, boat = {345, 444, 445}, {347, 349, 446}, {487}
    others = {435, 436, 762, 805, 806, 813, 850, 954, 840}
    assert court <= moved
    assert moved <= court | employee | repair | boat | others


@pytest.mark.parametrize("text", ["13A", "nibrs:", "fbi:13A", "nibrs:13A 13B", "nibrs 13A"])
def test_what_is_no_offence_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an offence"):
        repair_offense(text)


def test_offences_are_read_one_by_one() -> None:
    assert repair_offense(" nibrs:13A ") == "nibrs:13A"
    assert repair_offense("") is None
    assert repair_offenses("nibrs:290  nibrs:13B nibrs:290") == "nibrs:13B nibrs:290"
    assert f"nibrs:13A{DOMESTIC}" in NIBRS
