from __future__ import annotations

import pytest

from crimeguard.domain import codes
from crimeguard.domain.city import CHICAGO, CITIES, LOS_ANGELES, UNLISTED_PREMISE, repair_city


def test_los_angeles_has_its_own_tables() -> None:
    city = CITIES[LOS_ANGELES]
    assert city.codes("area") == frozenset(range(1, 22))
    assert {101, 256, 418, 502} <= city.codes("premis_cd")
    assert {101, 400, 516} <= city.codes("weapon_used_cd")
    with pytest.raises(KeyError):
        city.codes("mocodes")


def test_chicago_has_districts_of_which_three_are_closed_and_no_weapons() -> None:
    city = CITIES[CHICAGO]
    assert city.codes("area") == frozenset({*range(1, 26), 31})
    assert "closed" in city.areas()[13]
    assert city.codes("weapon_used_cd") == frozenset()
    assert not city.reported


@pytest.mark.parametrize("city", CITIES.values(), ids=list(CITIES))
def test_a_city_lies_in_its_region_and_its_bureaus_hold_areas(city: object) -> None:
    from crimeguard.domain.city import City

    assert isinstance(city, City)
    for (low, high), (least, most) in zip(
        (city.latitudes, city.longitudes), city.region, strict=True
    ):
        assert least < low < high < most
    grouped = [area for areas in city.bureaus.values() for area in areas]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) <= city.codes("area")


def test_no_two_regions_overlap() -> None:
    los_angeles, chicago = (CITIES[key].region for key in (LOS_ANGELES, CHICAGO))
    assert los_angeles[0][1] < chicago[0][0]
    assert los_angeles[1][1] < chicago[1][0]


def test_spellings_of_a_premise_share_its_code() -> None:
    table = codes.chicago_premise_codes()
    for one, other in (
        ("RESIDENCE PORCH/HALLWAY", "Residence - Porch / Hallway"),
        ("VEHICLE NON-COMMERCIAL", "VEHICLE NON COMMERCIAL"),
        ("PARKING LOT/GARAGE(NON.RESID.)", "PARKING LOT / GARAGE (NON RESIDENTIAL)"),
    ):
        assert table[codes.squeezed(one)] == table[codes.squeezed(other)]
    assert UNLISTED_PREMISE not in table.values()
    assert set(table.values()) == set(CITIES[CHICAGO].premises())


def test_a_city_is_named_by_its_key() -> None:
    assert repair_city(" Chicago ") == CHICAGO
    assert repair_city("") is None
    with pytest.raises(ValueError, match="los-angeles, chicago"):
        repair_city("Atlantis")
