from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from crimeguard.cli.key import key
from crimeguard.domain.errors import BundleError, CrimeGuardError, UsageError
from crimeguard.registry.signature import signing_key, trusted
from crimeguard.serve.keys import Scope, open_keys
from crimeguard.settings import Settings

CONSOLE = ("--name", "console", "--scope", "predict")


def invoke(*arguments: str) -> Any:
    app = typer.Typer(rich_markup_mode=None)
    app.command()(key)
    return CliRunner().invoke(app, list(arguments))


def test_both_lines_are_printed_and_fit_each_other() -> None:
    result = invoke(*CONSOLE, "--scope", "label")
    assert result.exit_code == 0
    environ = dict(line.split("=", 1) for line in result.stdout.splitlines())
    assert environ.keys() == {"CRIMEGUARD_API_KEY", "CRIMEGUARD_API_KEYS"}
    settings = Settings.load(environ)
    keys = open_keys(settings)
    assert keys is not None
    found = keys.find(settings.api_key)
    assert found is not None
    assert (found.name, found.scopes) == ("console", frozenset({Scope.PREDICT, Scope.LABEL}))
    assert "not shown again" in result.stderr


def test_json_holds_the_same() -> None:
    shown = json.loads(invoke(*CONSOLE, "--json").stdout)
    assert (shown["name"], shown["scopes"]) == ("console", ["predict"])
    keys = open_keys(Settings(api_keys=shown["entry"]))
    assert keys is not None
    assert keys.find(shown["key"]) is not None


def test_a_file_gets_the_entry_and_never_the_key(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    first = json.loads(invoke(*CONSOLE, "--file", str(file), "--json").stdout)
    other = ("--name", "records", "--scope", "label")
    second = json.loads(invoke(*other, "--file", str(file), "--json").stdout)
    assert file.read_text() == f"{first['entry']}\n{second['entry']}\n"
    keys = open_keys(Settings(api_keys_file=str(file)))
    assert keys is not None
    assert {item["name"] for item in (first, second) if keys.find(item["key"])} == {
        "console", "records",
    }  # fmt: skip


def test_a_name_that_exists_is_refused_and_no_key_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    invoke(*CONSOLE, "--file", str(file))
    result = invoke(*CONSOLE, "--file", str(file))
    assert isinstance(result.exception, UsageError)
    assert "cg_" not in result.output


@pytest.mark.parametrize(
    "arguments", [(), ("--name", "x"), ("--scope", "predict"), ("--name", "x", "--scope", "all")]
)
def test_what_is_missing_or_unknown_is_a_usage_error(arguments: tuple[str, ...]) -> None:
    assert invoke(*arguments).exit_code == 2


def test_help_begins_with_examples() -> None:
    text = " ".join(invoke("--help").output.split())
    assert text.index("crimeguard key --name console --scope predict") < text.index("--file")


def test_keys_for_bundles_sign_what_a_server_accepts(tmp_path: Path, tiny_bundle: Path) -> None:
    file, copy = tmp_path / "bundles.pem", tmp_path / "bundle"
    result = invoke("--signing", str(file))
    assert result.exit_code == 0, result.output
    environ = dict(line.split("=", 1) for line in result.stdout.splitlines())
    assert environ.keys() == {"CRIMEGUARD_BUNDLE_SIGNING_KEY_FILE", "CRIMEGUARD_BUNDLE_PUBLIC_KEYS"}
    settings = Settings.load(environ)
    signers, signs = trusted(settings), signing_key(settings)
    assert signers is not None
    assert signs is not None
    shutil.copytree(tiny_bundle, copy)
    with pytest.raises(BundleError):
        signers.require(copy)
    signs.sign(copy)
    signers.require(copy)
    # The private half is for its owner only, and is shown nowhere.
    assert file.stat().st_mode & 0o077 == 0
    secret = file.read_text().splitlines()[1]
    assert len(secret) > 40
    assert secret not in result.output


def test_keys_for_bundles_as_json_and_never_over_others(tmp_path: Path) -> None:
    file = tmp_path / "bundles.pem"
    shown = json.loads(invoke("--signing", str(file), "--json").stdout)
    assert shown.keys() == {"file", "public"}
    assert shown["file"] == str(file)
    before = file.read_bytes()
    again = invoke("--signing", str(file))
    assert isinstance(again.exception, CrimeGuardError)
    assert "is there already" in str(again.exception)
    assert file.read_bytes() == before
    assert shown["public"] not in again.output
