import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crimeguard.domain import repair
from crimeguard.domain.block import round_degrees, to_block
from crimeguard.domain.codes import descent_names, sex_names
from crimeguard.domain.field import (
    BY_NAME,
    CANONICAL_NAMES,
    EXPORT_COLUMNS,
    FIELDS,
    FORBIDDEN_FEATURES,
    FOREIGN_FIELDS,
    Field,
)
from crimeguard.domain.incident import as_text

Check = Callable[[Any], bool]
IS_CANONICAL: dict[Callable[[str], Any], Check] = {
    repair.repair_text: lambda value: isinstance(value, str) and value == " ".join(value.split()),
    repair.repair_address: lambda value: value == to_block(value) == " ".join(value.split()),
    repair.repair_number: lambda value: value == " ".join(value.split()),
    repair.repair_date: lambda value: type(value) is dt.date and value >= repair.EARLIEST,
    repair.repair_time: lambda value: value // 100 < 24 and value % 100 < 60,
    repair.repair_code: lambda value: type(value) is int and 0 <= value <= 999_999,
    repair.repair_age: lambda value: type(value) is int and 1 <= value <= 120,
    repair.repair_sex: lambda value: value in sex_names(),
    repair.repair_descent: lambda value: value in descent_names(),
    repair.repair_status: lambda value: value == value.strip().upper() and value != "",
    repair.repair_mocodes: lambda value: (
        value == tuple(sorted(set(value))) and all(1 <= code <= 9999 for code in value)
    ),
    repair.repair_latitude: lambda value: 33 < value < 35 and value == round_degrees(value),
    repair.repair_longitude: (lambda value: -120 < value < -117 and value == round_degrees(value)),
}
# Text that is nearly right finds more than text at random.
NEARLY = st.one_of(
    st.text(),
    st.text(alphabet="0123456789.:/-+eE_ ,TAPMZnaNxXhHfF", max_size=24),
    st.from_regex(r"\A\d{1,2}/\d{1,2}/\d{4}( .{0,11})?\Z"),
    st.from_regex(r"\A[+-]?\d{0,8}(\.\d{0,8})?\Z"),
    st.dates().map(str),
    st.datetimes().map(str),
    st.floats().map(str),
)


@pytest.mark.parametrize("item", FIELDS, ids=lambda item: item.name)
@settings(deadline=None)
@given(text=NEARLY)
@example(text="3_4.05")
@example(text="\u0663\u0664")
@example(text="\u0131")
@example(text="infinity")
@example(text="1e400")
@example(text="02/30/2023")
def test_any_text_is_repaired_or_refused_and_repair_is_idempotent(item: Field, text: str) -> None:
    reason, value = "", None
    try:
        value = item.repair(text)
    except ValueError as error:
        reason = str(error)
    # A reason reads on from the value: "'25:61' is not a time of day".
    assert reason[:1] == reason[:1].lower()
    if value is None:
        return
    assert IS_CANONICAL[item.repair](value)
    assert item.repair(as_text(value)) == value


@pytest.mark.parametrize("item", FIELDS, ids=lambda item: item.name)
@pytest.mark.parametrize("blank", ["", "   ", "-", "nan", "NaN", "None", "null", "N/A"])
def test_every_way_to_write_nothing_is_unknown(item: Field, blank: str) -> None:
    assert item.repair(blank) == (() if item.kind == "codes" else None)


DAMAGE = [
    ("time without leading zeros", repair.repair_time, "30", 30),
    ("time of one digit", repair.repair_time, "1", 1),
    ("midnight", repair.repair_time, "0000", 0),
    ("midnight as some clerks write it", repair.repair_time, "2400", 0),
    ("time as a float", repair.repair_time, "45.0", 45),
    ("time with a colon", repair.repair_time, "01:45", 145),
    ("time with seconds", repair.repair_time, "1:45:59", 145),
    ("code as a float", repair.repair_code, "501.0", 501),
    ("code with leading zeros", repair.repair_code, "08", 8),
    ("padded code", repair.repair_code, "  0377 ", 377),
    ("age zero", repair.repair_age, "0", None),
    ("negative age", repair.repair_age, "-2", None),
    ("age as a float", repair.repair_age, "36.0", 36),
    ("latitude zero", repair.repair_latitude, "0", None),
    ("latitude zero as a float", repair.repair_latitude, "0.0000", None),
    ("longitude zero", repair.repair_longitude, "0.0", None),
    ("dash for sex", repair.repair_sex, "-", None),
    ("blank sex", repair.repair_sex, "", None),
    ("X for sex is recorded as unknown", repair.repair_sex, "X", "X"),
    ("H in sex", repair.repair_sex, "H", None),
    ("sex in lower case", repair.repair_sex, "f", "F"),
    ("dash for descent", repair.repair_descent, "-", None),
    ("X for descent is recorded as unknown", repair.repair_descent, " x ", "X"),
    ("a number taken for a float", repair.repair_number, "231804450.0", "231804450"),
    ("padded location", repair.repair_address, "1100 W  39TH      PL ", "1100 W 39TH PL"),
    ("exact location", repair.repair_address, "1132 W  39TH PL #4", "1100 W 39TH PL"),
    ("exact latitude", repair.repair_latitude, "34.04594999", 34.0459),
    ("exact longitude", repair.repair_longitude, "-118.25449999", -118.2545),
    ("portal date", repair.repair_date, "01/08/2020 12:00:00 AM", dt.date(2020, 1, 8)),
    ("API date", repair.repair_date, "2020-01-08T00:00:00.000", dt.date(2020, 1, 8)),
    ("pandas date", repair.repair_date, "2020-01-08 00:00:00+00:00", dt.date(2020, 1, 8)),
    ("spreadsheet date", repair.repair_date, "1/8/2020", dt.date(2020, 1, 8)),
    ("MO codes without zeros", repair.repair_mocodes, "0344 1822 344", (344, 1822)),
    ("MO codes as floats", repair.repair_mocodes, "416.0, 1822.0", (416, 1822)),
    ("MO code zero", repair.repair_mocodes, "0000 0913", (913,)),
    ("status in lower case", repair.repair_status, "ic ", "IC"),
]


@pytest.mark.parametrize(
    ("function", "text", "value"),
    [case[1:] for case in DAMAGE],
    ids=[case[0].replace(" ", "-") for case in DAMAGE],
)
def test_known_damage_is_repaired(function: Callable[[str], Any], text: str, value: Any) -> None:
    assert function(text) == value


@pytest.mark.parametrize(
    ("function", "text", "reason"),
    [
        (repair.repair_date, "02/30/2023", "day of the calendar"),
        (repair.repair_date, "2023-13-01", "day of the calendar"),
        (repair.repair_date, "08.01.2020", "not a date"),
        (repair.repair_date, "01/08/20", "not a date"),
        (repair.repair_date, "01/08/2020 banana", "not a date"),
        (repair.repair_date, "2020-01-08T", "not a date"),
        (repair.repair_date, "12/31/1999", "before 2000-01-01"),
        (repair.repair_time, "2401", "time of day"),
        (repair.repair_time, "1260", "time of day"),
        (repair.repair_time, "12:30:99", "time of day"),
        (repair.repair_time, "-1", "time of day"),
        (repair.repair_time, "12.5", "time of day"),
        (repair.repair_code, "-8", "not a code"),
        (repair.repair_code, "501.5", "not a code"),
        (repair.repair_code, "1234567", "not a code"),
        (repair.repair_code, "STREET", "not a code"),
        (repair.repair_age, "121", "at most 120"),
        (repair.repair_age, "36.5", "not an age"),
        (repair.repair_age, "3_5", "not an age"),
        (repair.repair_age, "infinity", "not an age"),
        (repair.repair_sex, "Q", "none of F, M, X"),
        (repair.repair_sex, "HN", "none of F, M, X"),
        (repair.repair_descent, "E", "none of A"),
        (repair.repair_mocodes, "0344;1822", "'0344;1822'"),
        (repair.repair_mocodes, "0344 99999", "'99999'"),
        (repair.repair_latitude, "north", "not a latitude"),
        (repair.repair_latitude, "-118.3", "no latitude of a known city's region"),
        (repair.repair_latitude, "inf", "not a latitude"),
        (repair.repair_longitude, "118.3", "no longitude of a known city's region"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_a_reason(
    function: Callable[[str], Any], text: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        function(text)


@given(hours=st.integers(0, 23), minutes=st.integers(0, 59))
def test_every_time_of_day_is_read_in_every_spelling(hours: int, minutes: int) -> None:
    hhmm = hours * 100 + minutes
    for text in (f"{hhmm:04d}", str(hhmm), f"{hhmm}.0", f"{hours}:{minutes:02d}"):
        assert repair.repair_time(text) == hhmm


@given(day=st.dates(min_value=repair.EARLIEST))
def test_every_day_is_read_in_both_orders(day: dt.date) -> None:
    assert repair.repair_date(day.isoformat()) == day
    assert repair.repair_date(f"{day.month:02d}/{day.day:02d}/{day.year:04d} 12:00:00 AM") == day


@given(codes=st.lists(st.integers(0, 9999)))
def test_mo_codes_are_a_set(codes: list[int]) -> None:
    text = " ".join(f"{code:04d}" for code in codes)
    assert set(repair.repair_mocodes(text)) == set(codes) - {0}
    assert repair.repair_mocodes(text) == repair.repair_mocodes(" ".join(text.split()[::-1]))


def test_the_letters_read_are_those_of_the_tables() -> None:
    letters = [chr(code) for code in range(ord("A"), ord("Z") + 1)]

    def is_read(letter: str) -> bool:
        try:
            return repair.repair_descent(letter) == letter
        except ValueError:
            return False

    assert {letter for letter in letters if is_read(letter)} == descent_names().keys()


OF_THE_EXPORT = tuple(item for item in FIELDS if item.column in EXPORT_COLUMNS)


def test_the_field_table_covers_the_export() -> None:
    assert len(EXPORT_COLUMNS) == len(set(EXPORT_COLUMNS)) == 28
    assert all(column in CANONICAL_NAMES for column in EXPORT_COLUMNS)
    assert {item.column for item in OF_THE_EXPORT} <= set(EXPORT_COLUMNS)
    assert {item.name for item in FIELDS} - {item.name for item in OF_THE_EXPORT} == FOREIGN_FIELDS
    assert FORBIDDEN_FEATURES - {"category"} <= set(CANONICAL_NAMES.values())
    assert len(BY_NAME) == len(FIELDS)


@pytest.mark.realdata
@pytest.mark.parametrize("item", OF_THE_EXPORT, ids=lambda item: item.name)
def test_every_real_value_is_understood(item: Field) -> None:
    folder = os.environ.get("CRIMEGUARD_REALDATA")
    if not folder:
        pytest.skip("CRIMEGUARD_REALDATA does not name the folder of the real rows")
    for path in sorted(Path(folder).glob("*.parquet")):
        for text in pl.read_parquet(path, columns=[item.column])[item.column].unique():
            item.repair(text)
