from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.features.columns import Columns
from crimeguard.ingest.frame import canonical
from crimeguard.pipeline import Trained
from crimeguard.settings import Settings
from tests.cli.world import contents, crimeguard, refused

COLUMNS = ["DR_NO", "prediction", "confidence", "information_level",
           *(f"p_{name}" for name in CATEGORIES)]  # fmt: skip
SHARES = COLUMNS[4:]
ABOVE_CALL = ["Date Rptd", "Vict Age", "Vict Sex", "Vict Descent", "Weapon Used Cd", "Mocodes"]


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRIMEGUARD_HOME", str(tmp_path / "home"))


@pytest.fixture
def rows(exported: pl.DataFrame, tmp_path: Path) -> Path:
    """Rows in no order of number or time."""
    path = tmp_path / "rows.csv"
    exported.sample(150, seed=8, shuffle=True).write_csv(path)
    return path


def read(path: Path) -> pl.DataFrame:
    if path.suffix == ".parquet":
        return pl.read_parquet(path)
    return pl.read_csv(path, schema_overrides={"DR_NO": pl.String})


def test_as_a_user_runs_it(rows: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "call.csv"
    done = subprocess.run(
        [sys.executable, "-m", "crimeguard", "predict", rows, "--out", out, "--level", "call",
         "--bundle", tiny_bundle],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "150 predictions" in done.stderr
    table = read(out)
    assert table.columns == COLUMNS
    assert table["DR_NO"].to_list() == read(rows)["DR_NO"].to_list()
    assert table["information_level"].to_list() == ["call"] * 150
    assert contents(tmp_path).keys() == {"rows.csv", "call.csv"}


def test_one_row_an_incident_in_the_order_of_the_input(
    rows: Path, tiny_bundle: Path, trained: Trained, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    assert crimeguard("predict", rows, "--out", out, "--bundle", tiny_bundle).code == 0
    table, raw = read(out), pl.read_csv(rows, infer_schema=False)
    assert table.columns == COLUMNS
    assert table["DR_NO"].to_list() == raw["DR_NO"].to_list()
    shares = table.select(SHARES).to_numpy()
    expected = trained.bundle.model.probabilities(Columns.from_frame(canonical(raw).frame))
    assert shares == pytest.approx(expected, abs=1e-6)
    assert shares.sum(axis=1) == pytest.approx([1] * 150, abs=1e-6)
    assert table["confidence"].to_list() == pytest.approx(shares.max(axis=1).tolist())
    assert table["prediction"].to_list() == [CATEGORIES[i] for i in shares.argmax(axis=1)]
    assert set(table["information_level"]) == {"report"}


def test_a_level_hides_as_if_the_columns_were_not_there(
    rows: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.csv"
    pl.read_csv(rows, infer_schema=False).drop(ABOVE_CALL).write_csv(cut)
    one, other, full = (tmp_path / name for name in ("a.csv", "b.csv", "c.csv"))
    crimeguard("predict", rows, "--out", one, "--level", "call", "--bundle", tiny_bundle)
    crimeguard("predict", cut, "--out", other, "--bundle", tiny_bundle)
    crimeguard("predict", rows, "--out", full, "--level", "REPORT", "--bundle", tiny_bundle)
    assert one.read_bytes() == other.read_bytes()
    assert full.read_bytes() != one.read_bytes()


@pytest.mark.parametrize("name", ["o.csv", "o.csv.gz", "o.parquet", "new/folder/o.CSV"])
def test_every_kind_of_file_holds_the_same(
    rows: Path, tiny_bundle: Path, tmp_path: Path, name: str
) -> None:
    plain, out = tmp_path / "plain.csv", tmp_path / name
    for path in (plain, out):
        assert crimeguard("predict", rows, "--out", path, "--bundle", tiny_bundle).code == 0
    one, other = read(plain), read(out)
    assert one.drop(SHARES, "confidence").equals(other.drop(SHARES, "confidence"))
    numbers = ["confidence", *SHARES]
    assert other.select(numbers).to_numpy() == pytest.approx(one.select(numbers).to_numpy())


def test_without_a_bundle_the_one_in_production_answers(
    rows: Path, home: Callable[[], Settings], tiny_bundle: Path, tmp_path: Path
) -> None:
    settings = home()
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    assert crimeguard("predict", rows, "--out", one).code == 0
    assert crimeguard("predict", rows, "--out", other, "--bundle", tiny_bundle).code == 0
    assert one.read_bytes() == other.read_bytes()
    assert len([path for path in (settings.home / "bundles").iterdir() if path.is_dir()]) == 1


def test_rows_without_a_number_are_answered(rows: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "nameless.parquet", tmp_path / "out.parquet"
    pl.read_csv(rows, infer_schema=False).drop("DR_NO").write_parquet(path)
    assert crimeguard("predict", path, "--out", out, "--bundle", tiny_bundle).code == 0
    table = read(out)
    assert table.columns == COLUMNS
    assert table["DR_NO"].null_count() == table.height == 150


def spoil(rows: Path, out: Path, places: list[int]) -> Path:
    raw = pl.read_csv(rows, infer_schema=False).with_row_index("n")
    late = pl.when(pl.col("n").is_in(places)).then(pl.lit("25:61")).otherwise(pl.col("TIME OCC"))
    raw.with_columns(late.alias("TIME OCC")).drop("n").write_csv(out)
    return out


def test_unreadable_rows_stop_it_or_are_left_blank(
    rows: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    bad, out = spoil(rows, tmp_path / "bad.csv", [0, 77]), tmp_path / "out.csv"
    before = contents(tmp_path)
    told = crimeguard("predict", bad, "--out", out, "--bundle", tiny_bundle)
    refused(told, 1, "2 of 150 rows", "row 78, column 'TIME OCC': '25:61'", "--keep-going")
    assert contents(tmp_path) == before
    told = crimeguard("predict", bad, "--out", out, "--bundle", tiny_bundle, "--keep-going")
    assert told.code == 0
    assert "2 rows could not be read" in told.err
    table = read(out)
    assert table["DR_NO"].to_list() == read(bad)["DR_NO"].to_list()
    blank = table["prediction"].is_null()
    assert blank.arg_true().to_list() == [0, 77]
    assert table.filter(blank).drop("DR_NO").null_count().row(0) == (2,) * 18
    clean = tmp_path / "clean.csv"
    crimeguard("predict", rows, "--out", clean, "--bundle", tiny_bundle)
    assert table.filter(~blank).equals(read(clean).filter(~blank))


def test_where_no_row_can_be_read_it_stops(rows: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    bad, out = spoil(rows, tmp_path / "bad.csv", [*range(150)]), tmp_path / "out.csv"
    told = crimeguard("predict", bad, "--out", out, "--bundle", tiny_bundle, "--keep-going")
    refused(told, 1, "150 of 150 rows")
    assert not out.exists()


def write(name: str, content: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


GZIPPED = gzip.compress(b"DATE OCC,AREA\n" + b"01/02/2023,1\n" * 500, mtime=0)
BAD_INPUT: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no file": (lambda folder: folder / "none.csv", "There is no file"),
    "a folder": (lambda folder: folder, "is a folder"),
    "empty": (write("x.csv", b""), "is empty"),
    "no rows": (write("x.csv", b"DATE OCC,AREA\n"), "no rows"),
    "other columns": (write("x.csv", b"a,b\n1,2\n"), "does not hold incidents"),
    "twice": (write("x.csv", b"DATE OCC,AREA,area\n01/02/2023,1,1\n"), "twice"),
    "kind": (write("x.xlsx", b"PK"), "of no kind"),
    "short gzip": (write("x.csv.gz", GZIPPED[:-9]), "damaged gzip"),
    "no gzip": (write("x.csv.gz", b"DATE OCC,AREA\n1,1\n"), "damaged gzip"),
    "no parquet": (write("x.parquet", b"PAR1 nonsense PAR1"), "cannot be read as a table"),
    "no date": (write("x.csv", b"DATE OCC,AREA\nNaN,1\n"), "when did it happen"),
    "no place": (write("x.csv", b"DATE OCC,AREA\n01/02/2023,NaN\n"), "give AREA"),
    "infinite": (write("x.csv", b"DATE OCC,AREA,LAT\n01/02/2023,1,inf\n"), "is not a latitude"),
    "wild code": (write("x.csv", b"DATE OCC,AREA\n01/02/2023,one\n"), "'one' is not a code"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_said_clearly_and_leaves_nothing(
    case: str, tiny_bundle: Path, tmp_path: Path
) -> None:
    make, words = BAD_INPUT[case]
    path, out = make(tmp_path), tmp_path / "out.csv"
    out.write_text("what was there before")
    before = contents(tmp_path)
    told = crimeguard("predict", path, "--out", out, "--bundle", tiny_bundle)
    refused(told, 1, words)
    assert told.err.startswith("error: ")
    assert contents(tmp_path) == before


def test_unknown_codes_are_answered_as_unknown(tiny_bundle: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "x.csv", tmp_path / "out.csv"
    path.write_text("DATE OCC,AREA,Premis Cd\n01/02/2023,99,999999\n01/02/2023,12,101\n")
    assert crimeguard("predict", path, "--out", out, "--bundle", tiny_bundle).code == 0
    assert read(out)["prediction"].null_count() == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--level", "all"], "is not an information level"),
        (["--out", "x.txt"], "of no kind that is written"),
    ],
)
def test_a_wrong_call_is_a_usage_error(
    rows: Path, tiny_bundle: Path, tmp_path: Path, words: list[str], said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    told = crimeguard("predict", rows, "--out", "x.csv", "--bundle", tiny_bundle, *words)
    refused(told, 2, said)
    assert contents(tmp_path) == before


def test_a_damaged_bundle_answers_nothing(rows: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    import shutil

    bundle, out = tmp_path / "bundle", tmp_path / "out.csv"
    shutil.copytree(tiny_bundle, bundle)
    (bundle / "pool.json").write_text("{}")
    refused(crimeguard("predict", rows, "--out", out, "--bundle", bundle), 1, "pool.json")
    refused(crimeguard("predict", rows, "--out", out, "--bundle", tmp_path), 1, "manifest.json")
    assert not out.exists()


def test_without_a_model_it_says_how_to_make_one_and_makes_nothing(
    rows: Path, tmp_path: Path
) -> None:
    told = crimeguard("predict", rows, "--out", tmp_path / "out.csv")
    refused(told, 1, "no model in production", "crimeguard train")
    assert contents(tmp_path).keys() == {"rows.csv"}
    assert not (tmp_path / "home").exists()


def test_a_folder_that_cannot_be_written_to(rows: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "out.csv"
    refused(crimeguard("predict", rows, "--out", out, "--bundle", tiny_bundle), 1, "be written")
