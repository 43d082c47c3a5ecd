import csv
import os
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from crimeguard.domain import codes
from crimeguard.domain.category import Category
from crimeguard.domain.city import CITIES, LOS_ANGELES

# The table of the design, written out a second time on purpose: the CSV must agree.
CATEGORY_CODES = {
    "vehicle_theft": "433 487 510 520 522",
    "theft_from_vehicle": "330 331 410 420 421",
    "burglary": "310 320",
    "theft": "341 343 345 347 349-353 440-446 450-453 470 471 473-475 480 485",
    "robbery": "210 220",
    "aggravated_assault": "230 231 250 251 753 756 761 931",
    "simple_assault": "622-625 647",
    "domestic_violence": "235-237 626 627 870",
    "homicide_kidnapping": "110 113 432 434-436 910 920-922",
    "sex_offense": "121 122 760 762 805 806 810 812-815 820-822 830 840 845 850 860 932 954",
    "threats_harassment": "755 763 928 930 940 956",
    "fraud_identity_theft": "354 649 651-654 660-662 664 666 668 670 942 950 951",
    "vandalism_arson": "648 740 745 924 926",
    "court_order_violation": "900-904 906",
}
TABLES = (
    "areas",
    "crime_codes",
    "descents",
    "mo_codes",
    "premises",
    "sexes",
    "statuses",
    "weapons",
)
NAMES: dict[str, Callable[[], Mapping[Any, str]]] = {
    "areas": codes.area_names,
    "descents": codes.descent_names,
    "mo_codes": codes.mo_names,
    "premises": codes.premise_names,
    "sexes": codes.sex_names,
    "statuses": codes.status_names,
    "weapons": codes.weapon_names,
}


def rows(table: str) -> list[dict[str, str]]:
    path = files("crimeguard.domain") / "data" / f"{table}.csv"
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def expand(ranges: str) -> set[int]:
    found: set[int] = set()
    for item in ranges.split():
        first, _, last = item.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def test_there_are_140_crime_codes_of_part_one_and_two() -> None:
    assert len(codes.crime_codes()) == 140
    assert {crime.part for crime in codes.crime_codes().values()} == {1, 2}
    assert all(code == crime.code for code, crime in codes.crime_codes().items())


def test_every_listed_code_has_its_category_and_every_other_known_one_is_other() -> None:
    listed = {code: name for name, text in CATEGORY_CODES.items() for code in expand(text)}
    for code, crime in codes.crime_codes().items():
        assert crime.category == listed.get(code, "public_order_other"), crime
    assert listed.keys() <= codes.crime_codes().keys()


def test_every_category_has_a_code() -> None:
    assert {crime.category for crime in codes.crime_codes().values()} == set(Category)


@pytest.mark.parametrize("code", [None, 0, 999, 990, 998, 101, -510])
def test_an_unknown_code_has_no_category(code: int | None) -> None:
    assert codes.category_of(code) is None


@pytest.mark.parametrize(
    ("code", "category"),
    [
        (510, Category.VEHICLE_THEFT),
        # Words would have put these into other categories.
        (432, Category.HOMICIDE_KIDNAPPING),
        (354, Category.FRAUD_IDENTITY_THEFT),
        (888, Category.PUBLIC_ORDER_OTHER),
        (932, Category.SEX_OFFENSE),
    ],
)
def test_a_known_code_has_its_category(code: int, category: Category) -> None:
    assert codes.category_of(code) is category


@pytest.mark.parametrize("table", TABLES)
def test_a_table_lists_each_code_once_in_order(table: str) -> None:
    listed = [row["code"] for row in rows(table)]
    numbers = [int(code) for code in listed] if listed[0].isdigit() and table != "statuses" else []
    assert len(set(listed)) == len(listed)
    assert (numbers or listed) == sorted(numbers or listed)


@pytest.mark.parametrize("table", NAMES)
def test_every_name_reads_well(table: str) -> None:
    for code, name in NAMES[table]().items():
        assert name, code
        assert name == " ".join(name.split()), name
        assert "*" not in name
        # A word in capitals is an abbreviation, never a shouted sentence.
        assert not name.replace(" ", "").isupper() or len(name) <= 4, name


@pytest.mark.parametrize("table", sorted(NAMES.keys() - {"mo_codes"}))
def test_no_two_codes_share_a_name_in_a_form(table: str) -> None:
    names = list(NAMES[table]().values())
    assert len(names) == len(set(names))


def test_names_keep_abbreviations_and_lose_the_shouting() -> None:
    assert codes.premise_names()[122] == "Vehicle, passenger/truck"
    assert codes.premise_names()[605] == "Automated teller machine (ATM)"
    assert codes.premise_names()[958] == "MTA - Green Line - Aviation/LAX"
    assert codes.weapon_names()[114] == "Air pistol/revolver/rifle/BB gun"
    assert codes.area_names()[15] == "North Hollywood"
    assert codes.mo_names()[1271] == "Victim was law enforcement (not LAPD)"
    assert codes.status_names()["IC"] == "Investigation continued"
    assert codes.descent_names()["H"] == "Hispanic/Latin/Mexican"
    assert codes.sex_names() == {"F": "Female", "M": "Male", "X": "Unknown"}


def test_descriptions_are_the_portals_own_words() -> None:
    assert codes.area_descriptions()[15] == "N Hollywood"
    assert codes.premise_descriptions()[141] == "CEMETARY*"
    assert codes.premise_descriptions()[418] == ""
    assert codes.weapon_descriptions()[505] == "EXPLOXIVE DEVICE"
    assert codes.status_descriptions()["CC"] == "UNK"
    assert codes.crime_codes()[745].description == "VANDALISM - MISDEAMEANOR ($399 OR UNDER)"


def test_names_and_descriptions_cover_the_same_codes() -> None:
    assert codes.area_names().keys() == codes.area_descriptions().keys() == set(range(1, 22))
    assert codes.premise_names().keys() == codes.premise_descriptions().keys()
    assert codes.weapon_names().keys() == codes.weapon_descriptions().keys()
    assert codes.status_names().keys() == codes.status_descriptions().keys()


def test_every_area_has_a_middle_of_its_own_in_the_region() -> None:
    latitudes, longitudes = CITIES[LOS_ANGELES].region
    middles = codes.area_centroids()
    assert middles.keys() == codes.area_names().keys()
    assert len(set(middles.values())) == 21
    for latitude, longitude in middles.values():
        assert latitudes[0] < latitude < latitudes[1]
        assert longitudes[0] < longitude < longitudes[1]
    # Harbor lies in the south, Topanga in the west, Foothill and Devonshire in the north.
    assert min(middles, key=lambda area: middles[area][0]) == 5
    assert min(middles, key=lambda area: middles[area][1]) == 21
    assert max(middles.values())[0] == middles[16][0] == middles[17][0]


@pytest.mark.realdata
def test_a_middle_lies_among_the_real_incidents_of_its_area(real_rows: pl.DataFrame) -> None:
    placed = real_rows.select(pl.col("AREA").cast(pl.Int32), pl.col("LAT", "LON").cast(pl.Float64))
    found = placed.filter(pl.col("LAT") != 0).group_by("AREA").median()
    assert found.height == 21
    for area, latitude, longitude in found.iter_rows():
        assert codes.area_centroids()[area] == pytest.approx((latitude, longitude), abs=0.02)


def test_an_mo_code_without_a_name_is_called_by_its_number() -> None:
    assert codes.mo_name(344) == "Removes victim's property"
    assert 853 not in codes.mo_names()
    assert codes.mo_name(853) == "MO code 0853"


def test_the_tables_cannot_be_changed_by_a_caller() -> None:
    table = codes.area_names()
    with pytest.raises(TypeError):
        table[22] = "Nowhere"  # type: ignore[index]
    assert codes.area_names() is table


@pytest.fixture(scope="module")
def real_rows() -> pl.DataFrame:
    folder = os.environ.get("CRIMEGUARD_REALDATA")
    if not folder:
        pytest.skip("CRIMEGUARD_REALDATA does not name the folder of the real rows")
    frames = [pl.read_parquet(path) for path in sorted(Path(folder).glob("*.parquet"))]
    return pl.concat([frame.select(frames[0].columns) for frame in frames])


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("code", "text", "table"),
    [
        ("AREA", "AREA NAME", codes.area_descriptions),
        ("Premis Cd", "Premis Desc", codes.premise_descriptions),
        ("Weapon Used Cd", "Weapon Desc", codes.weapon_descriptions),
        (
            "Crm Cd",
            "Crm Cd Desc",
            lambda: {code: crime.description for code, crime in codes.crime_codes().items()},
        ),
    ],
)
def test_real_codes_have_the_portals_text(
    real_rows: pl.DataFrame, code: str, text: str, table: Callable[[], Mapping[int, str]]
) -> None:
    pairs = real_rows.filter(pl.col(code) != "").select(code, text).unique().rows()
    assert {int(number): words for number, words in pairs}.items() <= table().items()


@pytest.mark.realdata
def test_nearly_every_mo_code_in_real_rows_has_a_name(real_rows: pl.DataFrame) -> None:
    used = real_rows["Mocodes"].str.split(" ").explode()
    used = used.filter(used != "").cast(pl.Int32)
    assert used.is_in(list(codes.mo_names())).mean() > 0.999  # type: ignore[operator]
