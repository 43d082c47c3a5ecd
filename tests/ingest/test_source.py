import gzip
import io
import os
from pathlib import Path

import polars as pl
import pytest

from crimeguard.domain.errors import DataError
from crimeguard.ingest.source import read_bytes, read_file
from tests.ingest.test_frame import ROW, table

CSV = table(Premis_Cd="501.0", TIME_OCC="45").write_csv().encode()


def parquet(frame: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.write_parquet(out)
    return out.getvalue()


FILES = {
    "x.csv": CSV,
    "x.CSV": CSV,
    "zipped.csv": gzip.compress(CSV, mtime=0),
    "x.csv.gz": gzip.compress(CSV, mtime=0),
    "x.parquet": parquet(table(Premis_Cd=[501.0], TIME_OCC=[45])),
}


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_says_the_same(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(FILES[name])
    reading = read_file(tmp_path / name)
    assert not reading.bad
    assert reading.frame.equals(read_bytes(CSV, name="other.csv").frame)
    assert reading.frame.select("premis_cd", "time_occ").row(0) == (501, 45)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda csv: b"\xef\xbb\xbf" + csv, id="byte order mark"),
        pytest.param(lambda csv: csv.replace(b"\n", b"\r\n"), id="windows line ends"),
        pytest.param(lambda csv: csv + b"\n\n", id="empty lines at the end"),
        pytest.param(lambda csv: csv.rstrip(b"\n"), id="no line end at the end"),
        pytest.param(lambda csv: b"".join(b"7," + line for line in csv.splitlines(keepends=True)),
                     id="an index column"),
    ],
)  # fmt: skip
def test_what_tools_do_to_a_csv_does_no_harm(damage: object) -> None:
    assert callable(damage)
    reading = read_bytes(damage(CSV), name="x.csv")
    assert not reading.bad
    assert reading.frame.equals(read_bytes(CSV, name="x.csv").frame)


def test_a_pandas_index_is_ignored_and_named() -> None:
    lines = CSV.decode().splitlines()
    reading = read_bytes(f"Unnamed: 0,{lines[0]}\n0,{lines[1]}\n".encode(), name="x.csv")
    assert reading.ignored == ("Unnamed: 0",)


def test_a_bad_value_is_told_by_row_and_column() -> None:
    content = pl.concat([table(), table(Vict_Age="x")]).write_csv().encode()
    for name, data in {"x.csv": content, "x.csv.gz": gzip.compress(content, mtime=0)}.items():
        reading = read_bytes(data, name=name)
        assert [(bad.row, bad.column, bad.value) for bad in reading.bad] == [(2, "Vict Age", "x")]


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("x.csv", b"", "is empty"),
        ("x.parquet", b"", "is empty"),
        ("x.csv.gz", gzip.compress(b"", mtime=0), "cannot be read as a table"),
        ("x.csv", CSV.splitlines()[0] + b"\n", "holds no rows"),
        ("x.csv", CSV.splitlines()[0] + b"\n\n\n", "holds no rows"),
        ("x.parquet", parquet(table().clear()), "holds no rows"),
        ("x.csv", b"a,b\n1,2\n", "does not hold incidents"),
        ("x.csv", b"a;b\n1;2\n", "does not hold incidents"),
        ("x.csv", CSV.replace(b"DATE OCC", b"Date of Occurrence"), "does not hold incidents"),
        ("x.csv", b"DATE OCC,AREA,AREA\n01/02/2023,1,2\n", "'area' twice"),
        ("x.csv", b"DATE OCC,AREA,area\n01/02/2023,1,1\n", "'area' twice"),
        ("x.csv", b"DATE OCC,AREA\n01/02/2023,1,2,3\n", "cannot be read as a table"),
        ("x.csv", (bytes(range(128, 256)) + b"\n") * 40, "cannot be read as a table"),
        ("x.csv", bytes(range(256)) * 40, "cannot be read as a table"),
        ("x.csv", b"\x00" * 4000, "holds no rows"),
        ("x.csv", gzip.compress(CSV, mtime=0)[:-12], "is a damaged gzip file"),
        ("x.csv", parquet(table()), "cannot be read as a table"),
        ("x.parquet", CSV, "cannot be read as a table"),
        ("x.parquet", parquet(table())[:-10], "cannot be read as a table"),
        ("x.csv.gz", CSV, "is a damaged gzip file"),
        ("x.csv.gz", gzip.compress(CSV, mtime=0)[:-12], "is a damaged gzip file"),
        ("x.csv.gz", gzip.compress(CSV, mtime=0)[:40], "is a damaged gzip file"),
        ("x.xlsx", CSV, "is of no kind that is read here"),
        ("x.json", b"[]", "is of no kind that is read here"),
        ("x", CSV, "is of no kind that is read here"),
    ],
)
def test_what_is_no_file_of_incidents_is_refused(name: str, content: bytes, what: str) -> None:
    with pytest.raises(DataError, match=what) as refused:
        read_bytes(content, name=name)
    assert refused.value.what.startswith(name)
    assert refused.value.fix
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("cut", [1, 2, 5, 9, 15])
def test_a_gzip_cut_anywhere_is_refused(cut: int) -> None:
    whole = gzip.compress(CSV, mtime=0)
    with pytest.raises(DataError, match="damaged gzip"):
        read_bytes(whole[:-cut], name="x.csv.gz")


def test_a_missing_file_a_folder_and_an_unreadable_file_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="There is no file"):
        read_file(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="is a folder"):
        read_file(tmp_path / "folder.csv")

    def refuse(path: Path, *how: str) -> bytes:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"cannot be read\. Permission denied"):
        read_file(tmp_path / "secret.csv")


@pytest.mark.realdata
def test_the_real_rows_are_read_without_a_bad_value(realdata: Path) -> None:
    rows = {
        "la_2023q1.parquet": 40_903,
        "la_westla_2020_2021.parquet": 12_489,
        "la_2020_biased.parquet": 14_482,
    }
    for name, count in rows.items():
        reading = read_file(realdata / name)
        assert (reading.frame.height, reading.bad) == (count, ())
        assert reading.frame["dr_no"].n_unique() == count


def test_the_row_of_these_tests_is_in_the_portals_form() -> None:
    assert len(ROW) == 28
