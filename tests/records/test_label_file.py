from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.errors import DataError
from crimeguard.records.database import Database
from crimeguard.records.label_file import Outcome, read_label_file, store
from crimeguard.records.window import read_window
from tests.records.rows import entries, write

NOWHERE = "0" * 32


def file(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text)
    return path


def test_labels_by_identifier(database: Database, tmp_path: Path) -> None:
    first, second, third = write(database, entries(3))
    path = file(tmp_path, "prediction_id,category,crm_cd,note\n"
                f"{first},theft,,x\n{second},,210.0,y\n {third} ,robbery,210,\n"
                f"{NOWHERE},theft,,\n")  # fmt: skip
    told: list[int] = []
    done = store(database, read_label_file(path), source="labels.csv", on_progress=told.append)
    assert done == Outcome(rows=4, left_out=0, matched=3, unmatched=1, accepted=3, unchanged=0)
    assert sum(told) == 4
    window = read_window(database)
    assert [CATEGORIES[place] for place in window.label] == ["theft", "robbery", "robbery"]
    assert window.label_code.to_list() == [None, 210, 210]


def test_offences_of_another_coding_label_too(database: Database, tmp_path: Path) -> None:
    first, second = write(database, entries(2))
    path = file(tmp_path, f"prediction_id,offense\n{first},nibrs:13B+dv\n{second},iucr:0610\n")
    store(database, read_label_file(path), source="labels.csv")
    window = read_window(database)
    assert [CATEGORIES[place] for place in window.label] == ["domestic_violence", "burglary"]
    assert window.label_code.to_list() == [None, None]
    with pytest.raises(DataError, match="nibrs:99Z"):
        read_label_file(file(tmp_path, f"prediction_id,offense\n{first},nibrs:99Z\n"))


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet"])
def test_an_export_of_the_portal_labels_by_its_number(
    database: Database, tmp_path: Path, exported: pl.DataFrame, ending: str
) -> None:
    from crimeguard.ingest.writer import write_export

    rows = exported.head(200)
    numbers = [*rows["DR_NO"][:50], rows["DR_NO"][0], "nobody's", None]
    write(database, entries(53, dr_no=numbers))
    path = tmp_path / f"export{ending}"
    write_export([rows], path)
    labels = read_label_file(path)
    done = store(database, labels, source=path.name)
    assert done == Outcome(rows=200, left_out=0, matched=50, unmatched=150, accepted=51,
                           unchanged=0)  # fmt: skip
    window = read_window(database)
    codes = [int(code) for code in rows["Crm Cd"][:50]]
    assert window.label_code.to_list() == [*codes, codes[0], None, None]
    again = store(database, labels, source=path.name)
    assert (again.accepted, again.unchanged) == (0, 51)


def test_numbers_that_a_tool_took_for_floats_are_matched(
    database: Database, tmp_path: Path
) -> None:
    write(database, entries(1, dr_no=["230104011"]))
    path = file(tmp_path, "\ufeffDR_NO,Crm Cd\n230104011.0,510.0\n")
    assert store(database, read_label_file(path), source="x").accepted == 1


def test_the_last_row_of_a_number_holds(database: Database, tmp_path: Path) -> None:
    write(database, entries(1, dr_no=["7"]))
    path = file(tmp_path, "dr_no,category\n7,theft\n7,burglary\n")
    done = store(database, read_label_file(path), source="x")
    assert (done.matched, done.accepted) == (2, 2)
    assert read_window(database).label.tolist() == [CATEGORIES.index("burglary")]


BAD = {
    "unknown code": ("DR_NO,Crm Cd\n1,510\n2,999\n", "row 2, column 'crm_cd': '999'"),
    "no code": ("DR_NO,Crm Cd\n1,510\n2,\n", "row 2, column 'category': '' needs a category"),
    "no number": ("DR_NO,Crm Cd\n,510\n", "row 1.*has no dr_no"),
    "no identifier": ("prediction_id,crm_cd\n,510\n", "row 1.*has no prediction_id"),
    "unknown category": ("DR_NO,category\n1,crime\n", "'crime' is no category"),
    "contradiction": ("DR_NO,category,Crm Cd\n1,theft,210\n", "belongs to robbery, not to theft"),
    "no code at all": ("DR_NO,Crm Cd\n1,five\n", "'five' is not a code"),
}


@pytest.mark.parametrize("case", BAD)
def test_rows_that_cannot_be_read_are_named(tmp_path: Path, case: str) -> None:
    text, words = BAD[case]
    path = file(tmp_path, text)
    with pytest.raises(DataError, match=words) as refused:
        read_label_file(path)
    assert len(refused.value.bad) == 1
    left = read_label_file(path, drop_bad=True)
    assert left.left_out == 1
    assert left.rows.height == text.count("\n") - 2


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "DR_NO,AREA\n1,2\n", "category\ntheft\n", ""])
def test_other_files_are_refused_in_words(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"does not hold labels|is empty"):
        read_label_file(file(tmp_path, text))
