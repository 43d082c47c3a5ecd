from __future__ import annotations

import gzip
import io
import json
from contextlib import closing

import polars as pl
import pytest

from crimeguard.domain.level import InformationLevel
from crimeguard.records.database import open_database
from crimeguard.records.prediction_log import PredictionLog
from crimeguard.serve.app import create_app
from crimeguard.serve.batch import Batch
from crimeguard.serve.problem import BAD_FILE, TOO_LARGE, WRONG_TYPE, Problem
from crimeguard.serve.slot import Slot
from crimeguard.serve.upload import SUFFIX_OF_TYPE, file_name, read_upload
from crimeguard.settings import Settings
from tests.serve.fakes import Client

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


# Two rows: the second has the form of the first, so that what is kept of one is kept of all.
FINE = pl.DataFrame({
    "DATE OCC": ["03/10/2023"] * 2, "AREA": [12] * 2,
    "LOCATION": ["1432 N MAIN ST APT 5", "2377 S HILL ST"], "Cross Street": ["77 2ND ST", None],
    "LAT": [34.052234, 34.061777], "LON": [-118.243683, -118.251888],
})  # fmt: skip
FINER = ("1432", "APT", "2377", "77 2ND", "34.05223", "34.06177", "118.24368", "118.25188")
COARSE = [
    {"location": "1400 N MAIN ST", "cross_street": "00 2ND ST", "lat": 34.0522, "lon": -118.2437},
    {"location": "2300 S HILL ST", "cross_street": None, "lat": 34.0618, "lon": -118.2519},
]


def written(frame: pl.DataFrame, suffix: str) -> bytes:
    """Write a table as a file of this kind."""
    if suffix.startswith(".csv"):
        text = frame.write_csv().encode()
        return gzip.compress(text, mtime=0) if suffix.endswith(".gz") else text
    buffer = io.BytesIO()
    match suffix:
        case ".parquet":
            frame.write_parquet(buffer)
        case ".arrow":
            frame.write_ipc(buffer)
        case ".arrows":
            frame.write_ipc_stream(buffer)
        case _:
            raise AssertionError(suffix)
    return buffer.getvalue()


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("kind", [*SUFFIX_OF_TYPE, "application/json"])
def test_no_place_finer_than_published_is_kept_of_a_file(
    slot: Slot, settings: Settings, kind: str, typed: bool
) -> None:
    frame = FINE if typed else FINE.cast(pl.String)
    if kind == "application/json":
        body = json.dumps(frame.to_dicts()).encode()
    else:
        body = written(frame, SUFFIX_OF_TYPE[kind])
    with closing(open_database(settings)) as database:
        with PredictionLog(database) as log:
            app = create_app(settings, slot, log=log)
            answer = Client(app).post("/predict/batch", content=body,
                                      headers={"Content-Type": kind})  # fmt: skip
            app.state.service.close()
        with database.reading() as connection:
            found = connection.exec_driver_sql("SELECT input FROM prediction ORDER BY id")
            logged = [row[0] for row in found]
        # Nothing is left in any corner of the files either: the log beside the database.
        everything = b"".join(file.read_bytes() for file in settings.home.glob("records.db*"))
    assert answer.status_code == 200, answer.text
    assert len(logged) == len(FINE)
    for finer in FINER:
        assert not any(finer in text for text in logged)
        assert finer.encode() not in everything
    kept = [
        {name: row.get(name, row.get(heading)) for name, heading in NAMES.items()}
        for row in map(json.loads, logged)
    ]
    assert [_numbers(row) for row in kept] == COARSE
    assert b"1400 N MAIN ST" in everything


NAMES = {"location": "LOCATION", "cross_street": "Cross Street", "lat": "LAT", "lon": "LON"}


def _numbers(row: dict[str, object]) -> dict[str, object]:
    return {name: float(str(row[name])) if name in {"lat", "lon"} else row[name] for name in row}
