from __future__ import annotations

import gzip
import io

import polars as pl
import pytest

from crimeguard.domain.level import InformationLevel
from crimeguard.serve.batch import Batch
from crimeguard.serve.problem import BAD_FILE, TOO_LARGE, WRONG_TYPE, Problem
from crimeguard.serve.upload import file_name, read_upload

CSV = b"DR_NO,DATE OCC,TIME OCC,AREA,Crm Cd,Mocodes,extra\n1,01/02/2023,30,3,510,0344,x\n" * 1


def read(content: bytes, name: str, *, level: InformationLevel | None = None) -> Batch:
    return read_upload(content, name, most_bytes=100_000, most_rows=50, level=level)


def refused(content: bytes, name: str) -> Problem:
    with pytest.raises(Problem) as caught:
        read(content, name)
    return caught.value


def parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


FORMS = {
    "x.csv": CSV,
    "x.csv.gz": gzip.compress(CSV, mtime=0),
    "two.csv.gz": gzip.compress(CSV[:20], mtime=0) + gzip.compress(CSV[20:], mtime=0) + b"\0" * 10,
    "x.parquet": parquet(pl.read_csv(CSV, infer_schema=False)),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_file_is_read(name: str) -> None:
    batch = read(FORMS[name], name)
    assert batch.columns.time_occ.tolist() == [30]
    assert batch.columns.mo_values.tolist() == [344]
    assert list(batch.dr_no) == ["1"]
    assert batch.ignored == ("dr_no", "crm_cd", "extra")


def test_a_level_hides_what_is_above_it() -> None:
    columns = read(CSV, "x.csv", level=InformationLevel.CALL).columns
    assert columns.level.tolist() == [0]
    assert columns.mo_values.tolist() == []


def test_rows_without_a_number_have_none() -> None:
    assert list(read(b"DATE OCC,AREA\n01/02/2023,3\n", "x.csv").dr_no) == [None]


def test_a_bad_value_is_named_with_row_and_column() -> None:
    problem = refused(CSV + b"2,01/03/2023,99999,3,510,0344,x\n", "x.csv")
    assert problem.kind is BAD_FILE
    (flaw,) = problem.flaws
    assert (flaw.pointer, flaw.row, flaw.column) == ("/1/TIME OCC", 2, "TIME OCC")
    assert "1 of 2 rows" in problem.detail


DAMAGED = {
    "empty": (b"", "x.csv"),
    "empty gzip": (b"", "x.csv.gz"),
    "empty parquet": (b"", "x.parquet"),
    "no rows": (b"DATE OCC,AREA\n", "x.csv"),
    "truncated gzip": (gzip.compress(CSV, mtime=0)[:-12], "x.csv.gz"),
    "no gzip": (CSV, "x.csv.gz"),
    "rubbish behind gzip": (gzip.compress(CSV, mtime=0) + b"rubbish", "x.csv.gz"),
    "flipped gzip": (gzip.compress(CSV, mtime=0)[:-6] + b"\0\0\0\0\0\0", "x.csv.gz"),
    "truncated parquet": (FORMS["x.parquet"][:-20], "x.parquet"),
    "no parquet": (CSV, "x.parquet"),
    "wrong columns": (b"a,b\n1,2\n", "x.csv"),
    "binary": (bytes(range(256)) * 4, "x.csv"),
    "ragged": (b"DATE OCC,AREA\n01/02/2023,3,4,5\n", "x.csv"),
    "a column twice": (b"DATE OCC,date_occ,AREA\n01/02/2023,01/02/2023,3\n", "x.csv"),
    "structs": (parquet(pl.DataFrame({"date_occ": [{"a": 1}], "area": ["3"]})), "x.parquet"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_files_are_refused_in_our_own_words(case: str) -> None:
    problem = refused(*DAMAGED[case])
    assert problem.kind is BAD_FILE
    for word in ("Error", "error", "polars", "zlib", "Traceback", "utf", "parquet:", "schema"):
        assert word not in problem.detail


def test_a_gzip_bomb_is_refused_before_it_unfolds() -> None:
    bomb = gzip.compress(b"0" * 50_000_000, mtime=0)
    assert len(bomb) < 100_000
    problem = refused(bomb, "x.csv.gz")
    assert problem.kind is TOO_LARGE


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_too_many_rows_are_refused(name: str) -> None:
    frame = pl.DataFrame({"DATE OCC": ["01/02/2023"] * 51, "AREA": ["3"] * 51})
    content = parquet(frame) if name.endswith("parquet") else frame.write_csv().encode()
    problem = refused(content, name)
    assert problem.kind is TOO_LARGE
    assert "51 rows" in problem.detail


@pytest.mark.parametrize(
    ("given", "kind", "expected"),
    [
        ("a.csv", "", "a.csv"),
        ("A.CSV.GZ", "text/plain", "A.CSV.GZ"),
        ("C:\\data\\a.parquet", "", "a.parquet"),
        ("../../etc/a.csv", "", "a.csv"),
        ("", "text/csv", "upload.csv"),
        ("noname", "application/gzip", "upload.csv.gz"),
        ("", "application/vnd.apache.parquet", "upload.parquet"),
        ("a\nb.csv", "", "ab.csv"),
    ],
)
def test_the_kind_is_told_by_name_or_content_type(given: str, kind: str, expected: str) -> None:
    assert file_name(given, kind) == expected


def test_other_kinds_are_refused() -> None:
    with pytest.raises(Problem) as caught:
        file_name("a.xlsx", "application/octet-stream")
    assert caught.value.kind is WRONG_TYPE
