from __future__ import annotations

import datetime as dt
import json
from typing import Any

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.field import CANONICAL_NAMES
from crimeguard.domain.incident import INCIDENT_FIELDS, Incident
from crimeguard.ingest.frame import SCHEMA, canonical
from crimeguard.records.database import Database
from crimeguard.records.entry import entries_of
from crimeguard.records.labels import Label, add_labels
from crimeguard.records.window import count_answered, read_window
from tests.records.rows import BUNDLE, INCIDENT, entries, write

DAY = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
HEADINGS: dict[str, Any] = {
    "DATE OCC": "03/10/2023 12:00:00 AM", "TIME OCC": "45", "AREA": "12.0", "Premis Cd": "101",
    "Vict Age": "34", "Vict Sex": "F", "Vict Descent": "H", "Date Rptd": "03/11/2023",
    "Weapon Used Cd": "400", "Mocodes": "0344 0416", "LAT": "33.97", "LON": "-118.29",
    "LOCATION": "100   MAIN  ST", "Crm Cd": 10**30, "Status": "whatever",
}  # fmt: skip
ASKED: list[dict[str, Any]] = [
    INCIDENT,
    HEADINGS,
    {"date_occ": "2023-01-01", "area": 3.0, "mocodes": ["0344", 416], "lat": 34.05},
    {"date_occ": "2023-01-01", "AREA": 3, "mocodes": 344, "vict_age": 0, "premis_cd": None},
    {"date_occ": "2023-01-01", "lat": 34.05, "lon": -118.2437, "mocodes": [], "vict_sex": "-"},
    {"date_occ": "2023-01-01", "rpt_dist_no": "1249", "cross_street": 'a "b"\n\u2028é\u0000',
     "information_level": "call", "crm_cd_desc": [[1]], "vict_age": 1e1},
]  # fmt: skip


def at(day: int) -> dt.datetime:
    return DAY + dt.timedelta(days=day)


@pytest.mark.parametrize("place", range(len(ASKED)))
def test_an_incident_is_read_as_it_was_when_it_was_answered(database: Database, place: int) -> None:
    write(database, entries(len(ASKED), inputs=ASKED))
    window = read_window(database)
    assert {name: window.frame.schema[name] for name in INCIDENT_FIELDS} == {
        name: SCHEMA[name] for name in INCIDENT_FIELDS
    }
    row = window.frame.row(place, named=True)
    known = Incident.from_record(
        {
            key: value
            for key, value in ASKED[place].items()
            if CANONICAL_NAMES.get(key) in INCIDENT_FIELDS
        }
    )
    for name in INCIDENT_FIELDS:
        value = row[name]
        assert (tuple(value or ()) if name == "mocodes" else value) == getattr(known, name), name


def test_rows_of_a_file_come_back_as_they_were(database: Database, incidents: pl.DataFrame) -> None:
    frame = incidents.head(500)
    write(database, entries(500, inputs=[json.loads(line) for line in
                                         frame.write_ndjson().splitlines()],
                            dr_no=frame["dr_no"].to_list()))  # fmt: skip
    found = read_window(database).frame
    assert found.equals(frame.select("dr_no", *INCIDENT_FIELDS))


def test_what_was_answered_comes_back(database: Database) -> None:
    rows = entries(30, dr_no=[str(n) for n in range(30)])
    write(database, rows)
    window = read_window(database)
    assert len(window) == 30
    assert window.ids.to_list() == [row.id for row in rows]
    assert window.category.to_list() == [row.category for row in rows]
    assert window.bundle.to_list() == [BUNDLE] * 30
    assert window.frame["dr_no"].to_list() == [str(n) for n in range(30)]
    assert window.level.tolist() == [2] * 30
    assert window.probabilities.shape == (30, 15)
    assert window.probabilities.max(axis=1).tolist() == [row.confidence for row in rows]
    moments = window.made_at.dt.timestamp("us").to_list()
    assert moments == [row.made_at for row in rows]
    assert window.label.tolist() == [-1] * 30
    assert window.label_code.null_count() == window.labelled_at.null_count() == 30


def test_it_is_a_stretch_of_time_in_order(database: Database) -> None:
    groups = {day: entries(2, at=at(day)) for day in (3, 1, 2)}
    write(database, *groups.values())

    def days(**options: Any) -> list[int]:
        return [(found - DAY).days for found in read_window(database, **options).made_at]

    assert days() == [1, 1, 2, 2, 3, 3]
    assert days(since=at(2)) == [2, 2, 3, 3]
    assert days(until=at(2)) == [1, 1]
    assert days(since=at(2), until=at(3)) == [2, 2]
    assert days(most=3) == [2, 3, 3]
    assert days(since=at(9)) == []


def test_variants_are_apart(database: Database) -> None:
    write(database, entries(2), entries(3, variant="challenger"))
    assert len(read_window(database)) == 2
    assert len(read_window(database, variant="challenger")) == 3
    assert len(read_window(database, variant=None)) == 5


def test_the_newest_label_holds(database: Database) -> None:
    first, second, _ = write(database, entries(3, at=at(1)))
    add_labels(database, [Label(first, "theft", 341, "t"), Label(second, "robbery", None, "t")])
    add_labels(database, [Label(first, "burglary", 310, "t")])
    before = dt.datetime.now(dt.UTC)
    window = read_window(database)
    assert window.label.tolist() == [
        CATEGORIES.index("burglary"), CATEGORIES.index("robbery"), -1
    ]  # fmt: skip
    assert window.label_code.to_list() == [310, None, None]
    assert window.labelled.tolist() == [True, True, False]
    assert window.labelled_at[2] is None
    assert abs(window.labelled_at[0] - before) < dt.timedelta(seconds=60)
    some = window.rows(window.labelled)
    assert len(some) == some.frame.height == len(some.probabilities) == 2
    assert some.ids.to_list() == [first, second]


def test_what_has_no_label_can_be_left_out(database: Database) -> None:
    ids = write(database, entries(4))
    add_labels(database, [Label(ids[1], "theft", None, "t"), Label(ids[3], "robbery", None, "t"),
                          Label(ids[3], "burglary", None, "t")])  # fmt: skip
    found = read_window(database, labelled_only=True)
    assert found.ids.to_list() == [ids[1], ids[3]]
    assert [CATEGORIES[place] for place in found.label] == ["theft", "burglary"]
    assert len(read_window(database)) == 4


def test_nothing_is_a_window_too(database: Database) -> None:
    window = read_window(database)
    assert len(window) == 0
    assert window.probabilities.shape == (0, 15)
    assert window.frame.schema == {"dr_no": pl.String(), **{n: SCHEMA[n] for n in INCIDENT_FIELDS}}
    assert window.label.dtype == np.int64
    assert len(window.rows(window.labelled)) == 0


def test_many_rows_are_read_as_they_were_written(database: Database) -> None:
    from crimeguard.ingest.simulator import simulate

    frame = canonical(pl.concat(simulate(20_000, seed=4))).frame
    shares = np.random.default_rng(1).dirichlet(np.ones(15), size=frame.height)
    rows = entries_of(
        shares, np.full(frame.height, 2, dtype=np.int64),
        frame.write_ndjson().split("\n")[:-1], bundle=BUNDLE, dr_no=frame["dr_no"],
    )  # fmt: skip
    write(database, rows)
    add_labels(database, [Label(row.id, "theft", 341, "t") for row in rows[::10]])
    del rows
    window = read_window(database)
    assert int(window.labelled.sum()) == 2_000
    assert window.frame.equals(frame.select("dr_no", *INCIDENT_FIELDS))


def test_what_a_shadow_scored_was_not_answered(database: Database) -> None:
    answered = entries(2)
    beside = entries(2, variant="shadow", experiment="e" * 32,
                     answered_ids=[row.id for row in answered])  # fmt: skip
    write(database, answered, beside, entries(1, variant="challenger"))
    add_labels(database, [Label(answered[0].id, "theft", None, "t")])
    every = read_window(database, variant=None)
    assert len(every) == 3
    assert int(every.labelled.sum()) == 1
    assert len(read_window(database, variant=None, labelled_only=True)) == 1
    assert len(read_window(database)) == 2
    shadow = read_window(database, variant="shadow")
    assert dict(zip(shadow.ids, shadow.labelled.tolist(), strict=True)) == {
        beside[0].id: True, beside[1].id: False,
    }  # fmt: skip
    assert read_window(database, variant="shadow", labelled_only=True).ids.to_list() == [
        beside[0].id
    ]


def test_the_answers_of_a_variant_are_counted(database: Database) -> None:
    write(database, entries(3, at=DAY), entries(2, at=DAY, variant="challenger"),
          entries(4, at=DAY + dt.timedelta(days=1), variant="challenger"))  # fmt: skip
    later = DAY + dt.timedelta(hours=1)
    assert count_answered(database, "challenger", since=DAY, until=later) == 2
    assert count_answered(database, "challenger", since=later, until=DAY) == 0
