import json
from collections.abc import Iterable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from crimeguard.cli import health
from crimeguard.cli.doctor import doctor
from crimeguard.cli.health import Outcome
from crimeguard.domain.errors import UsageError
from crimeguard.settings import Settings

app = typer.Typer()
app.command()(doctor)


def fake(*outcomes: Outcome) -> object:
    def check(settings: Settings) -> Iterable[Outcome]:
        yield from outcomes

    return check


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    checks = [fake(Outcome("disk", "ok", "5 GB")), fake(Outcome("browser", "warn", "none", "Add."))]
    monkeypatch.setattr(health, "CHECKS", checks)
    return checks


@pytest.mark.usefixtures("checks")
def test_warnings_do_not_count() -> None:
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 0
    assert "ok" in result.stderr
    assert "Add." in result.stderr


def test_a_failure_leaves_with_one(checks: list[object]) -> None:
    checks.append(fake(Outcome("port", "fail", "taken", "Stop it.")))
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 1
    assert "Stop it." in result.stderr


def test_json_lists_every_check(checks: list[object]) -> None:
    checks.append(fake(Outcome("port", "fail", "taken", "Stop it.")))
    result = CliRunner().invoke(app, ["--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "ok": False,
        "checks": [
            {"check": "disk", "status": "ok", "found": "5 GB", "fix": ""},
            {"check": "browser", "status": "warn", "found": "none", "fix": "Add."},
            {"check": "port", "status": "fail", "found": "taken", "fix": "Stop it."},
        ],
    }


@pytest.mark.usefixtures("checks")
def test_a_wrong_setting_is_told_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRIMEGUARD_PORT", "five")
    result = CliRunner().invoke(app, [])
    assert isinstance(result.exception, UsageError)


def test_this_machine_can_be_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRIMEGUARD_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(health, "SERVING", ("numpy", "polars"))  # the others take seconds
    read = json.loads(CliRunner().invoke(app, ["--json"]).stdout)
    names = [item["check"] for item in read["checks"]]
    assert names == [
        "python", "packages for serving", "packages for training", "packages for monitoring",
        "packages for console", "locked versions", "compiled kernel", "state folder",
        "free disk", "free memory",
        "API port", "console port", "API keys", "MLflow", "records", "Deepchecks", "chromium",
    ]  # fmt: skip
    assert all(item["fix"] for item in read["checks"] if item["status"] != "ok")
    assert not (tmp_path / "home").exists()
