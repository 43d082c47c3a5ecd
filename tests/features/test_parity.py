"""One featurizer, three ways in: raw rows come out the same whichever they take.

Training and batch rows come as a frame (`canonical`, `Columns.from_frame`), online ones
one by one (`Incident.from_record`, `Columns.from_incidents`).
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crimeguard.domain.field import CANONICAL_NAMES, FORBIDDEN_FEATURES
from crimeguard.domain.incident import Incident
from crimeguard.domain.level import InformationLevel
from crimeguard.features.columns import Columns, concatenate
from crimeguard.features.featurizer import Features
from crimeguard.ingest.frame import canonical
from crimeguard.registry.bundle import Bundle
from crimeguard.train.model import Model

Record = dict[str, str | None]

# What names the incident in another coding; no export of Los Angeles has it.
CODING = {"offense", "other_offenses"}
FORBIDDEN = ("DR_NO", "Crm Cd", "Crm Cd Desc", "Crm Cd 1", "Crm Cd 2", "Crm Cd 3", "Crm Cd 4",
             "Part 1-2", "Status", "Status Desc")  # fmt: skip


@pytest.fixture(scope="module")
def model(tiny_bundle: Path) -> Model:
    return Bundle.load(tiny_bundle).model


def online(records: Sequence[Record]) -> Columns:
    return Columns.from_incidents([Incident.from_record(record) for record in records])


def batch(records: Sequence[Record], level: InformationLevel | None = None) -> Columns:
    """Take records that name the same fields through the path of a file."""
    texts = {name: [record[name] for record in records] for name in records[0]}
    raw = pl.DataFrame(texts, schema=dict.fromkeys(texts, pl.String))
    return Columns.from_frame(canonical(raw).require_clean("the rows"), level=level)


def assert_same(one: Features, other: Features) -> None:
    assert np.array_equal(one.dense, other.dense, equal_nan=True)
    assert np.array_equal(one.offsets, other.offsets)
    assert np.array_equal(one.indices, other.indices)


def features(model: Model, record: Record) -> Features:
    return model.featurizer.transform(online([record]))


def differ(model: Model, one: Record, other: Record) -> bool:
    mine, yours = features(model, one), features(model, other)
    return not (
        np.array_equal(mine.dense, yours.dense, equal_nan=True)
        and np.array_equal(mine.indices, yours.indices)
    )


def spelled(*values: str) -> st.SearchStrategy[str | None]:
    return st.one_of(st.none(), st.sampled_from(["", "-", *values]))


CODES = st.integers(0, 999_999).map(str)
NUMBERS = st.tuples(st.one_of(CODES, st.integers(0, 950).map(str)), st.sampled_from(["", ".0"]))
ANY_CODE = st.one_of(
    st.none(), st.just(""), NUMBERS.map("".join), CODES.map(lambda c: f" 0{c[:5]}")
)
DAYS = st.dates(dt.date(2000, 1, 1), dt.date(2030, 12, 31))
DATES = st.one_of(
    DAYS.map(lambda d: f"{d:%m/%d/%Y} 12:00:00 AM"), DAYS.map(str),
    DAYS.map(lambda d: f"{d.month}/{d.day}/{d.year}"), DAYS.map(lambda d: f"{d}T00:00:00.000"),
)  # fmt: skip
TIMES = st.tuples(st.integers(0, 23), st.integers(0, 59)).flatmap(
    lambda t: st.sampled_from(
        [f"{t[0]:02}{t[1]:02}", str(t[0] * 100 + t[1]), f"{t[0]:02}:{t[1]:02}",
         f"{t[0] * 100 + t[1]}.0"]
    )
)  # fmt: skip
MO = st.lists(
    st.one_of(st.integers(1, 9999), st.sampled_from([344, 416, 913, 1822, 2000])).flatmap(
        lambda n: st.sampled_from([str(n), f"{n:04}", f"{n}.0"])
    ),
    max_size=12,
).flatmap(lambda codes: st.sampled_from([" ".join(codes), ", ".join(codes + codes[:2])]))
OPTIONAL: dict[str, st.SearchStrategy[str | None]] = {
    "TIME OCC": st.one_of(st.none(), TIMES),
    "Rpt Dist No": ANY_CODE,
    "Premis Cd": st.one_of(ANY_CODE, spelled("101", "501.0", "502", "0101")),
    "Cross Street": spelled("MAIN   ST", "  "),
    "LOCATION": spelled("200 S  BROADWAY    "),
    "LAT": spelled("0", "34.05", "34.0500", "33.9"),
    "LON": spelled("0.0", "-118.25", "-118.2500"),
    "Date Rptd": st.one_of(st.none(), DATES),
    "Vict Age": spelled("0", "-2", "34", "34.0", "120", "7"),
    "Vict Sex": spelled("F", "m", "X", "H", "N"),
    "Vict Descent": spelled("H", "w", "X", "Z", "B"),
    "Weapon Used Cd": st.one_of(ANY_CODE, spelled("400", "400.0", "102")),
    "Mocodes": st.one_of(st.none(), MO),
    "Crm Cd": spelled("510", "624"),
    "Status": spelled("IC", "AA"),
}


@st.composite
def tables(draw: Callable[[Any], Any]) -> list[Record]:
    """Draw a few records that name the same fields, in one order or another."""
    names = draw(st.permutations(sorted(draw(st.sets(st.sampled_from(sorted(OPTIONAL)))))))
    records: list[Record] = draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "AREA": st.one_of(st.integers(1, 99).map(str), st.just("07")),
                    **{name: OPTIONAL[name] for name in names},
                    "DATE OCC": DATES,
                }
            ),
            min_size=1,
            max_size=6,
        )
    )
    return records


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(records=tables(), level=st.sampled_from([None, *InformationLevel]))
def test_any_table_has_the_same_features_by_every_path(
    model: Model, records: list[Record], level: InformationLevel | None
) -> None:
    singly = [Incident.from_record(record, level=level) for record in records]
    whole = model.featurizer.transform(batch(records, level))
    assert_same(model.featurizer.transform(Columns.from_incidents(singly)), whole)
    for place, incident in enumerate(singly):
        mine = model.featurizer.transform(Columns.from_incidents([incident]))
        start, stop = whole.offsets[place : place + 2]
        assert np.array_equal(mine.dense[0], whole.dense[place], equal_nan=True)
        assert np.array_equal(mine.indices, whole.indices[start:stop])
    shares = model.probabilities(batch(records, level))
    assert np.array_equal(model.probabilities(Columns.from_incidents(singly)), shares)


def damaged(value: str, column: str, rng: random.Random) -> str:
    """Write a value in one of the ways that exports and tools write it."""
    if column == "Mocodes":
        codes = value.split()
        rng.shuffle(codes)
        return rng.choice([" ", ", "]).join(rng.choice([c, c.lstrip("0")]) for c in codes)
    if column in ("Date Rptd", "DATE OCC"):
        month, day, year = value[:10].split("/")
        return rng.choice([f"{year}-{month}-{day}", f"{int(month)}/{int(day)}/{year}", value])
    if column in ("LAT", "LON"):
        return rng.choice([f" {value} ", f"{value}00" if "." in value else value])
    if column in ("LOCATION", "Cross Street"):
        return f"{value}   "
    if not value.isdigit():
        return value.lower()
    return rng.choice([f"{value}.0", str(int(value)), f" {value}"])


def damaged_groups(exported: pl.DataFrame, groups: int, seed: int) -> list[list[Record]]:
    """Remove columns group by group, blank and respell values row by row."""
    rng = random.Random(seed)
    optional = [name for name in OPTIONAL if name in exported.columns]
    size = exported.height // groups
    made = []
    for start in range(0, size * groups, size):
        gone = set(rng.sample(optional, rng.randrange(len(optional) + 1)))
        columns = [name for name in exported.columns if name not in gone]
        rows = exported[start : start + size].select(columns)
        made.append(
            [
                {name: respelled(value, name, rng) for name, value in row.items()}
                for row in rows.iter_rows(named=True)
            ]
        )
    return made


def respelled(value: str | None, column: str, rng: random.Random) -> str | None:
    chance = rng.random()
    if column in OPTIONAL and chance < 0.2:
        return rng.choice(["", None, "nan"])
    if value and (column in OPTIONAL or column in ("AREA", "DATE OCC")) and chance < 0.6:
        return damaged(value, column, rng)
    return value


def test_ten_thousand_incidents_with_fields_missing(model: Model) -> None:
    from crimeguard.ingest.simulator import simulate

    start, end = dt.date(2023, 3, 1), dt.date(2023, 6, 30)
    exported = pl.concat(simulate(10_000, seed=11, start=start, end=end))
    groups = damaged_groups(exported, 50, seed=5)
    records = [record for group in groups for record in group]
    assert len(records) == 10_000
    by_file = concatenate([batch(group) for group in groups])
    whole = model.featurizer.transform(by_file)
    assert_same(model.featurizer.transform(online(records)), whole)
    assert {0, 1, 2} == set(by_file.level)
    for place, record in enumerate(records):
        mine = features(model, record)
        begin, stop = whole.offsets[place : place + 2]
        assert np.array_equal(mine.dense[0], whole.dense[place], equal_nan=True)
        assert np.array_equal(mine.indices, whole.indices[begin:stop])
    shares = model.probabilities(by_file)
    assert np.array_equal(model.probabilities(online(records)), shares)
    for place in range(0, 10_000, 40):
        one = model.probabilities(online(records[place : place + 1]))[0]
        assert np.array_equal(one, shares[place])


BASE: Record = {
    "DATE OCC": "03/10/2023", "TIME OCC": "2130", "AREA": "12", "Rpt Dist No": "1249",
    "Premis Cd": "502", "Date Rptd": "03/11/2023", "Vict Age": "34", "Vict Sex": "F",
    "Vict Descent": "H", "Weapon Used Cd": "400", "Mocodes": "0416 2000 1813",
}  # fmt: skip


def test_the_order_of_mo_codes_changes_no_answer(model: Model) -> None:
    turned = BASE | {"Mocodes": "2000, 1813 416 0416"}
    assert not differ(model, BASE, turned)
    one, other = (model.probabilities(online([record])) for record in (BASE, turned))
    assert one.tobytes() == other.tobytes()


CODED = {"Premis Cd": "premis_cd", "Weapon Used Cd": "weapon_used_cd", "AREA": "area"}


@pytest.mark.parametrize("column", CODED)
def test_an_unknown_code_is_like_no_known_one_and_not_like_a_blank(
    model: Model, column: str
) -> None:
    known = model.featurizer.table.places[CODED[column]].tolist()
    unknown = next(str(code) for code in range(900, 2000) if code not in known)
    strange = BASE | {column: unknown}
    assert len(known) > 3
    assert all(differ(model, strange, BASE | {column: str(code)}) for code in known)
    assert differ(model, strange, BASE | {column: ""})


def test_an_unknown_mo_code_is_like_no_known_one_and_not_like_a_blank(model: Model) -> None:
    strange = BASE | {"Mocodes": "9876"}
    known = model.featurizer.table.mo_codes.tolist()
    assert all(differ(model, strange, BASE | {"Mocodes": str(code)}) for code in known)
    assert differ(model, strange, BASE | {"Mocodes": ""})


@pytest.mark.parametrize("column", [name for name in BASE if name not in ("DATE OCC", "AREA")])
def test_every_field_is_seen_and_its_absence_too(model: Model, column: str) -> None:
    assert differ(model, BASE, BASE | {column: ""})


def test_a_blank_field_is_not_a_field_that_was_never_asked_for(model: Model) -> None:
    asked = BASE | {"Weapon Used Cd": "", "Mocodes": ""}
    never: Record = {name: value for name, value in asked.items() if value}
    assert differ(model, asked, never)


ABOVE = {
    InformationLevel.CALL: ("Date Rptd", "Vict Age", "Vict Sex", "Vict Descent",
                            "Weapon Used Cd", "Mocodes"),
    InformationLevel.VICTIM: ("Weapon Used Cd", "Mocodes"),
    InformationLevel.REPORT: (),
}  # fmt: skip


@pytest.mark.parametrize("level", InformationLevel)
def test_hiding_above_a_level_is_as_if_the_fields_were_not_there(
    model: Model, exported: pl.DataFrame, level: InformationLevel
) -> None:
    rows: list[Record] = exported.head(200).to_dicts()
    cut = [{k: v for k, v in row.items() if k not in ABOVE[level]} for row in rows]
    expected = model.featurizer.transform(batch(cut))
    assert_same(model.featurizer.transform(batch(rows, level)), expected)
    hidden = [Incident.from_record(row, level=level) for row in rows]
    assert_same(model.featurizer.transform(Columns.from_incidents(hidden)), expected)
    one = model.probabilities(batch(rows, level))
    assert one.tobytes() == model.probabilities(batch(cut)).tobytes()


def test_the_forbidden_columns_are_all_tried() -> None:
    assert {CANONICAL_NAMES[name] for name in FORBIDDEN} == FORBIDDEN_FEATURES - CODING - {
        "category"
    }


@pytest.mark.parametrize("how", ["shuffled", "blank", "gone", "wild"])
def test_forbidden_columns_change_no_byte_of_an_answer(
    model: Model, exported: pl.DataFrame, how: str
) -> None:
    rows = exported.head(500)
    changed = {
        "shuffled": rows.with_columns(
            pl.col(name).shuffle(seed=place) for place, name in enumerate(FORBIDDEN)
        ),
        "blank": rows.with_columns(pl.lit("").alias(name) for name in FORBIDDEN),
        "gone": rows.drop(FORBIDDEN),
        "wild": rows.with_columns(pl.lit("110").alias(name) for name in FORBIDDEN),
    }[how]
    assert not changed.equals(rows)
    plain, other = (Columns.from_frame(canonical(frame).frame) for frame in (rows, changed))
    answer = model.probabilities(plain)
    assert answer.tobytes() == model.probabilities(other).tobytes()
    assert answer.std(axis=0).min() > 0
    assert np.array_equal(model.probabilities(online(changed.to_dicts())), answer)
