import json
from pathlib import Path

import polars as pl
import pytest
import typer
from typer.testing import CliRunner, Result

from crimeguard.cli.validate import validate
from crimeguard.domain.errors import CrimeGuardError, DataError
from tests.ingest.test_frame import table

app = typer.Typer()
app.command()(validate)


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.csv"
    table().write_csv(path)
    return path


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.csv"
    pl.concat(
        [table(), table(DR_NO="2", Crm_Cd="999"), table(DR_NO="3", Vict_Age="old")]
    ).write_csv(path)
    return path


def test_good_rows_leave_with_nought(good: Path) -> None:
    result = run(good)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "good.csv passes the data contract: 1 row, 0 errors" in result.stderr


def test_an_error_leaves_with_one_and_says_where(broken: Path) -> None:
    result = run(broken)
    assert result.exit_code == 1
    for words in ("crm_cd_known", "readable_values", "999", "row 2", "row 3"):
        assert words in result.stderr
    assert "breaks the data contract" in result.stderr.replace("\n", " ")


def test_json_is_alone_on_stdout(broken: Path) -> None:
    result = run(broken, "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["ok"] is False
    assert {item["check"] for item in report["findings"]} == {"crm_cd_known", "readable_values"}
    assert report["rows"] == 3
    assert result.stderr == ""


def test_bad_rows_can_be_left_out(broken: Path) -> None:
    report = json.loads(run(broken, "--json", "--on-bad", "drop").stdout)
    severities = {item["check"]: item["severity"] for item in report["findings"]}
    assert severities == {"crm_cd_known": "error", "readable_values": "warning"}


def test_labels_need_not_be_there(tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    table().drop("Crm Cd").write_csv(path)
    assert run(path).exit_code == 1
    assert run(path, "--no-labels").exit_code == 0


def test_a_page_is_written_too(good: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert run(good, "--html", page).exit_code == 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert {file.name for file in tmp_path.iterdir()} == {"good.csv", "report.html"}


def test_a_page_that_cannot_be_written_is_told(good: Path, tmp_path: Path) -> None:
    result = run(good, "--html", tmp_path / "nowhere" / "report.html")
    assert isinstance(result.exception, CrimeGuardError)
    assert "cannot be written" in str(result.exception)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("none.csv", None, "There is no file"),
        ("x.csv", b"", "is empty"),
        ("x.csv.gz", b"\x1f\x8b\x08\x00", "damaged gzip"),
        ("x.csv", b"a,b\n1,2\n", "does not hold incidents"),
    ],
)
def test_no_file_of_incidents_is_our_own_error(
    tmp_path: Path, name: str, content: bytes | None, what: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    result = run(tmp_path / name)
    assert isinstance(result.exception, DataError)
    assert result.exception.exit_code == 1
    assert what in str(result.exception)


def test_wrong_options_are_a_usage_error(good: Path) -> None:
    assert run(good, "--on-bad", "guess").exit_code == 2
    assert run().exit_code == 2


def test_help_begins_with_examples() -> None:
    text = run("--help").stdout
    assert text.index("Examples:") < text.index("--on-bad")
