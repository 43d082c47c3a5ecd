import datetime as dt
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crimeguard.domain.errors import BadValue, DataError
from crimeguard.domain.field import EXPORT_COLUMNS, FIELDS, FOREIGN_FIELDS
from crimeguard.domain.incident import repair_record
from crimeguard.ingest.frame import SCHEMA, Reading, canonical

ROW = {
    "DR_NO": "230100001", "Date Rptd": "01/03/2023 12:00:00 AM",
    "DATE OCC": "01/02/2023 12:00:00 AM", "TIME OCC": "0145", "AREA": "01",
    "AREA NAME": "Central", "Rpt Dist No": "0163", "Part 1-2": "1", "Crm Cd": "330",
    "Crm Cd Desc": "BURGLARY FROM VEHICLE", "Mocodes": "1822 0344", "Vict Age": "34",
    "Vict Sex": "F", "Vict Descent": "H", "Premis Cd": "101", "Premis Desc": "STREET",
    "Weapon Used Cd": "", "Weapon Desc": "", "Status": "IC", "Status Desc": "Invest Cont",
    "Crm Cd 1": "330", "Crm Cd 2": "998", "Crm Cd 3": "", "Crm Cd 4": "",
    "LOCATION": "200 S  BROADWAY                ", "Cross Street": "", "LAT": "34.0500",
    "LON": "-118.2500",
}  # fmt: skip


def table(**changes: Any) -> pl.DataFrame:
    """One good row; a change is `Vict_Age="-1"` (blanks in headings as underscores)."""
    renamed = {name.replace(" ", "_"): name for name in ROW}
    return pl.DataFrame({**ROW, **{renamed.get(key, key): value for key, value in changes.items()}})


def value_of(name: str, **changes: Any) -> Any:
    reading = canonical(table(**changes))
    assert not reading.bad
    return reading.frame[name].to_list()[0]


def test_an_export_becomes_a_canonical_frame() -> None:
    reading = canonical(table())
    assert tuple(ROW) == EXPORT_COLUMNS
    assert {*reading.frame.columns} == SCHEMA.keys() - FOREIGN_FIELDS
    assert dict(reading.frame.schema).items() <= SCHEMA.items()
    assert not reading.bad
    assert not reading.ignored
    assert reading.frame.row(0, named=True) == {
        "dr_no": "230100001", "date_rptd": dt.date(2023, 1, 3), "date_occ": dt.date(2023, 1, 2),
        "time_occ": 145, "area": 1, "rpt_dist_no": 163, "crm_cd": 330, "mocodes": [344, 1822],
        "vict_age": 34, "vict_sex": "F", "vict_descent": "H", "premis_cd": 101,
        "weapon_used_cd": None, "status": "IC", "crm_cd_1": 330, "crm_cd_2": 998,
        "crm_cd_3": None, "crm_cd_4": None, "location": "200 S BROADWAY", "cross_street": None,
        "lat": 34.05, "lon": -118.25,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "column", "raw", "value"),
    [
        ("premis_cd", "Premis_Cd", "501.0", 501),
        ("area", "AREA", "1", 1),
        ("area", "AREA", " 01 ", 1),
        ("rpt_dist_no", "Rpt_Dist_No", "163", 163),
        ("time_occ", "TIME_OCC", "45", 45),
        ("time_occ", "TIME_OCC", "2400", 0),
        ("time_occ", "TIME_OCC", "01:45", 145),
        ("vict_age", "Vict_Age", "0", None),
        ("vict_age", "Vict_Age", "-2", None),
        ("vict_sex", "Vict_Sex", "H", None),
        ("vict_sex", "Vict_Sex", "-", None),
        ("vict_sex", "Vict_Sex", "X", "X"),
        ("vict_descent", "Vict_Descent", "-", None),
        ("lat", "LAT", "0", None),
        ("lat", "LAT", "0.0000", None),
        ("mocodes", "Mocodes", "", []),
        ("mocodes", "Mocodes", "344 1822 344", [344, 1822]),
        ("date_occ", "DATE_OCC", "2023-01-02T00:00:00.000", dt.date(2023, 1, 2)),
        ("location", "LOCATION", "   A    B ", "A B"),
        ("weapon_used_cd", "Weapon_Used_Cd", None, None),
        ("weapon_used_cd", "Weapon_Used_Cd", "nan", None),
    ],
)
def test_the_usual_damage_is_repaired(name: str, column: str, raw: Any, value: Any) -> None:
    assert value_of(name, **{column: raw}) == value


@pytest.mark.parametrize(
    ("name", "column", "typed", "value"),
    [
        ("premis_cd", "Premis_Cd", [501.0], 501),
        ("premis_cd", "Premis_Cd", [float("nan")], None),
        ("premis_cd", "Premis_Cd", [None], None),
        ("premis_cd", "Premis_Cd", pl.Series([501]).cast(pl.Decimal(10, 2)), 501),
        ("area", "AREA", pl.Series([1], dtype=pl.UInt8), 1),
        ("date_occ", "DATE_OCC", [dt.date(2023, 1, 2)], dt.date(2023, 1, 2)),
        ("date_occ", "DATE_OCC", [dt.datetime(2023, 1, 2, 3)], dt.date(2023, 1, 2)),  # noqa: DTZ001
        ("date_occ", "DATE_OCC", [dt.datetime(2023, 1, 2, tzinfo=dt.UTC)], dt.date(2023, 1, 2)),
        ("time_occ", "TIME_OCC", [dt.time(1, 45)], 145),
        ("mocodes", "Mocodes", [[1822, 344]], [344, 1822]),
        ("mocodes", "Mocodes", pl.Series([[1822, 344]], dtype=pl.Array(pl.Int32, 2)), [344, 1822]),
        ("mocodes", "Mocodes", [["0344"]], [344]),
        ("vict_sex", "Vict_Sex", pl.Series(["F"], dtype=pl.Categorical), "F"),
        ("lat", "LAT", pl.Series([34.25], dtype=pl.Float32), 34.25),
        ("lat", "LAT", [float("nan")], None),
    ],
)
def test_typed_columns_mean_the_same(name: str, column: str, typed: Any, value: Any) -> None:
    assert value_of(name, **{column: typed}) == value


def test_a_type_that_is_no_text_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"'LOCATION' cannot be read as text.*Binary"):
        canonical(table(LOCATION=[b"\xff"]))


@pytest.mark.parametrize(
    ("column", "raw", "reason"),
    [
        ("DATE OCC", "13/45/2023", "calendar"),
        ("DATE OCC", "yesterday", "not a date"),
        ("DATE OCC", "01/01/1999", "before 2000-01-01"),
        ("TIME OCC", "2561", "not a time"),
        ("AREA", "Central", "not a code"),
        ("Premis Cd", "501.5", "not a code"),
        ("Vict Age", "130", "not an age"),
        ("Vict Sex", "female", "is none of"),
        ("LAT", "51.5", "no latitude"),
        ("LON", "inf", "not a longitude"),
        ("Mocodes", "0344;1822", "not an MO code"),
    ],
)
def test_what_cannot_be_understood_is_named_by_row_and_column(
    column: str, raw: str, reason: str
) -> None:
    good, bad = table(), table(**{column.replace(" ", "_"): raw})
    reading = canonical(pl.concat([good, bad, good]))
    assert reading.bad_rows == {1}
    assert (reading.bad[0].row, reading.bad[0].column, reading.bad[0].value) == (2, column, raw)
    assert reason in reading.bad[0].reason
    assert reading.frame.height == 3
    assert reading.drop_bad().height == 2


def test_every_bad_row_counts_but_only_the_first_values_are_kept() -> None:
    frame = pl.concat([table(Vict_Age="x" * 500)] * 100)
    reading = canonical(frame)
    assert len(reading.bad_rows) == 100
    assert len(reading.bad) == 20
    assert max(len(bad.value) for bad in reading.bad) == 80


def test_a_clean_reading_is_given_and_a_bad_one_refused_with_evidence() -> None:
    assert canonical(table()).require_clean("x.csv").height == 1
    with pytest.raises(DataError, match=r"1 of 1 rows of x.csv") as refused:
        canonical(table(Vict_Age="old")).require_clean("x.csv")
    assert refused.value.bad == (
        BadValue(1, "Vict Age", "old", "is not an age in years (at most 120)"),
    )
    assert "--on-bad drop" in refused.value.fix


def test_both_spellings_lead_to_the_same_frame() -> None:
    names = {field.column: field.name for field in FIELDS}
    api = table().rename({column: names.get(column, column) for column in ROW})
    assert canonical(api).frame.equals(canonical(table()).frame)


def test_both_spellings_at_once_are_refused() -> None:
    with pytest.raises(DataError, match=r"'vict_age' twice.*'vict_age' names it again"):
        canonical(table().with_columns(vict_age=pl.lit("3")))


def test_unknown_columns_are_ignored_and_named() -> None:
    frame = table().with_columns(pl.lit("0").alias("Unnamed: 0"), pl.lit("x").alias("note"))
    assert canonical(frame).ignored == ("Unnamed: 0", "note")


def test_headings_may_be_padded_or_begin_with_a_byte_order_mark() -> None:
    frame = table().rename({"DR_NO": "\ufeffDR_NO", "AREA": " AREA "})
    reading = canonical(frame)
    assert not reading.ignored
    assert reading.frame["dr_no"].to_list() == ["230100001"]


def test_blank_text_columns_stay_columns() -> None:
    assert value_of("vict_sex", Vict_Sex="") is None
    assert "vict_sex" not in canonical(table().drop("Vict Sex")).frame.columns


@pytest.mark.parametrize("missing", [["DATE OCC"], ["AREA", "Rpt Dist No", "LAT"]])
def test_a_table_without_when_or_where_is_refused(missing: list[str]) -> None:
    with pytest.raises(DataError, match="does not hold incidents"):
        canonical(table().drop(missing))


def test_a_long_list_of_strange_headings_is_cut() -> None:
    with pytest.raises(DataError) as refused:
        canonical(pl.DataFrame({f"{n}{'y' * 1000}": ["1"] for n in range(30)}))
    assert "and 22 more" in str(refused.value)
    assert len(str(refused.value)) < 1500


@pytest.mark.parametrize("place", ["AREA", "Rpt_Dist_No", "LAT"])
def test_one_way_of_saying_where_is_enough(place: str) -> None:
    blank = {"AREA": "", "Rpt_Dist_No": "", "LAT": "", "LON": ""}
    named = {"AREA": "7", "Rpt_Dist_No": "0764", "LAT": "34.05"}
    changes = {**blank, place: named[place], **({"LON": "-118.3"} if place == "LAT" else {})}
    assert not canonical(table(**changes)).bad


def test_a_row_without_when_or_where_is_bad_once() -> None:
    nowhere = canonical(table(AREA="", Rpt_Dist_No="", LAT="0", LON="0"))
    assert [(bad.row, bad.column) for bad in nowhere.bad] == [(1, "AREA")]
    never = canonical(table(DATE_OCC=""))
    assert [(bad.row, bad.column) for bad in never.bad] == [(1, "DATE OCC")]
    unreadable = canonical(table(DATE_OCC="soon"))
    assert len(unreadable.bad) == 1


def test_rows_keep_their_order() -> None:
    frame = pl.concat([table(DR_NO=str(n), Vict_Age=str(n % 7)) for n in range(50)])
    kept = canonical(frame).frame
    assert kept["dr_no"].to_list() == [str(n) for n in range(50)]
    assert kept["vict_age"].to_list() == [n % 7 or None for n in range(50)]


def test_a_frame_and_a_single_record_are_repaired_alike() -> None:
    values, bad = repair_record(ROW)
    assert not bad
    row = canonical(table()).frame.row(0, named=True)
    assert row == {
        name: list(value) if name == "mocodes" else value for name, value in values.items()
    }


def test_nothing_bad_drops_nothing() -> None:
    frame = pl.DataFrame({"area": [1]})
    assert Reading(frame).drop_bad() is frame


_CODES = st.one_of(
    st.integers(0, 9999).map("{:04d}".format), st.integers(0, 99_999).map(str),
    st.sampled_from(["0000", "0344.0", "", "٣٤٤٤", "x", "1,2", "0344\n"]),
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.lists(_CODES, max_size=4).map(" ".join), min_size=1, max_size=8))
def test_codes_mean_what_the_repair_functions_say(texts: list[str]) -> None:
    _same_as_repaired("Mocodes", texts)


@settings(deadline=None)
@given(st.lists(st.one_of(
    st.text("0123456789.- \n\u0660x", max_size=5), st.integers(0, 10**12).map(str)
), min_size=1, max_size=8))  # fmt: skip
def test_numbers_of_reports_mean_what_the_repair_functions_say(texts: list[str]) -> None:
    _same_as_repaired("DR_NO", texts)


def _same_as_repaired(column: str, texts: list[str]) -> None:
    (item,) = (field for field in FIELDS if field.column == column)
    reading = canonical(pl.concat([table(**{column: text}) for text in texts]))
    for row, text in enumerate(texts):
        try:
            expected = item.repair(text)
        except ValueError:
            assert row in reading.bad_rows
            expected = None
        else:
            assert row not in reading.bad_rows
        found = reading.frame[item.name][row]
        assert (found.to_list() if isinstance(found, pl.Series) else found) == (
            list(expected) if isinstance(expected, tuple) else expected
        )
