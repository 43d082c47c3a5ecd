from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crimeguard.domain.errors import DataError
from crimeguard.domain.field import FIELDS
from crimeguard.ingest import parts
from crimeguard.ingest.frame import Reading
from crimeguard.ingest.parts import read_csv_parts
from crimeguard.ingest.source import read_bytes, read_file
from tests.ingest.test_frame import ROW, table

CSV = pl.concat([table(DR_NO=str(n), Vict_Age=str(n % 7)) for n in range(40)]).write_csv().encode()
HEAD, FIRST = CSV.splitlines()[:2]


def in_parts(content: bytes, folder: Path, rows: int) -> Reading:
    file = folder / "rows.csv"
    file.write_bytes(content)
    reading = read_csv_parts(file, source="rows.csv", rows=rows)
    assert reading is not None
    return reading


@pytest.mark.parametrize("rows", [1, 3, 39, 40, 1000])
@pytest.mark.parametrize(
    "content",
    [
        CSV,
        b"\xef\xbb\xbf" + CSV,
        CSV.replace(b"\n", b"\r\n"),
        CSV.rstrip(b"\n"),
        CSV + b"\n\n\n\n",
        CSV.replace(b",F,H,", b",-,X,"),
        CSV.replace(b",101,", b",101.0,"),
        b"".join(b"7," + line for line in CSV.splitlines(keepends=True)),
    ],
    ids=["plain", "byte order mark", "windows", "no line end", "empty lines at the end",
         "unknown victims", "floats", "an index column"],
)  # fmt: skip
def test_parts_say_what_the_whole_says(tmp_path: Path, content: bytes, rows: int) -> None:
    reading, whole = in_parts(content, tmp_path, rows), read_bytes(content, name="x.csv")
    assert reading.frame.equals(whole.frame)
    assert reading.frame.schema == whole.frame.schema
    assert (reading.bad, reading.bad_rows, reading.ignored) == (
        whole.bad, whole.bad_rows, whole.ignored,
    )  # fmt: skip


_TEXTS = {
    "DATE OCC": ["01/02/2023 12:00:00 AM", "2023-02-03", "02/30/2023", ""],
    "TIME OCC": ["0145", "45", "2400", "01:45", "2561", "12.0"],
    "Vict Age": ["34", "0", "-2", "130", "x", ""],
    "Vict Sex": ["F", "M", "X", "H", "-", "female"],
    "Mocodes": ["0344 1822", "1822 0344 0344", "344", "", "0000", "0344;1822", "0344.0"],
    "LAT": ["34.05", "0", "51.5", ""],
    "DR_NO": ["1", "0012", "7.0", " 8 ", ""],
    "LOCATION": ["200 S  BROADWAY   ", "1432 N MAIN ST", "", "6TH"],
}


@given(st.data(), st.integers(1, 9))
@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_parts_mean_what_the_repair_functions_say(
    tmp_path: Path, data: st.DataObject, rows: int
) -> None:
    count = data.draw(st.integers(1, 12))
    drawn = {
        name: data.draw(st.lists(st.sampled_from(texts), min_size=count, max_size=count))
        for name, texts in _TEXTS.items()
    }
    raw = pl.DataFrame({**{name: [text] * count for name, text in ROW.items()}, **drawn})
    reading = in_parts(raw.write_csv().encode(), tmp_path, rows)
    for item in (item for item in FIELDS if item.column in raw.columns):
        for row, text in enumerate(raw[item.column]):
            try:
                expected = item.repair(text)
            except ValueError:
                assert row in reading.bad_rows
                expected = None
            found = reading.frame[item.name][row]
            assert (found.to_list() if isinstance(found, pl.Series) else found) == (
                list(expected) if isinstance(expected, tuple) else expected
            )


def test_a_bad_row_is_told_by_its_number_in_the_file(tmp_path: Path) -> None:
    frame = pl.concat([table(Vict_Age="x" if n in (4, 17) else "30") for n in range(25)])
    reading = in_parts(frame.write_csv().encode(), tmp_path, 6)
    assert reading.bad_rows == {4, 17}
    assert [bad.row for bad in reading.bad] == [5, 18]
    many = pl.concat([table(Vict_Age="x")] * 100)
    reading = in_parts(many.write_csv().encode(), tmp_path, 6)
    assert (len(reading.bad_rows), len(reading.bad)) == (100, 20)


def test_an_empty_line_between_rows_is_a_bad_row_and_not_lost(tmp_path: Path) -> None:
    blank = b"," * HEAD.count(b",")
    content = b"\n".join([HEAD, FIRST, *[blank] * 5, FIRST, *[blank] * 9])
    reading, whole = in_parts(content, tmp_path, 2), read_bytes(content, name="x.csv")
    assert reading.frame.equals(whole.frame)
    assert reading.bad_rows == whole.bad_rows == set(range(1, 6))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty"),
        (HEAD, "holds no rows"),
        (HEAD + b"\n\n\n", "holds no rows"),
        (b"a,b\n1,2\n", "does not hold incidents"),
        (b"DATE OCC,AREA,AREA\n01/02/2023,1,2\n", "'area' twice"),
        (b"DATE OCC,AREA\n01/02/2023,1,2,3\n", "cannot be read as a table"),
        (b"DATE OCC,AREA\n" + b"01/02/2023,1\n" * 5000 + b"01/02/2023,1,2\n",
         "cannot be read as a table"),
        ((bytes(range(128, 256)) + b"\n") * 40, "cannot be read as a table"),
        (bytes(range(256)) * 40, "cannot be read as a table"),
    ],
)  # fmt: skip
def test_what_is_no_file_of_incidents_is_refused_as_ever(
    tmp_path: Path, content: bytes, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts.read_csv_parts, "__kwdefaults__", {"rows": 700})
    file = tmp_path / "x.csv"
    file.write_bytes(content)
    with pytest.raises(DataError, match=what) as refused:
        read_file(file)
    with pytest.raises(DataError, match=what):
        read_bytes(content, name="x.csv")
    assert refused.value.fix
    assert "\n" not in str(refused.value)


def test_a_name_with_a_pattern_in_it_is_a_name(tmp_path: Path) -> None:
    file = tmp_path / "rows[1]*.csv"
    file.write_bytes(CSV)
    assert read_file(file).frame.height == 40


def test_only_a_few_parts_are_ahead_of_what_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "cores", lambda: 2)
    made: list[int] = []

    def source() -> Iterator[pl.DataFrame]:
        for number in range(50):
            made.append(number)
            yield table(DR_NO=str(number))

    taken = 0
    for reading in parts._repaired(source(), "x"):
        assert reading.frame["dr_no"].to_list() == [str(taken)]
        taken += 1
        assert len(made) <= taken + 2
    assert taken == 50
