import re
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from crimeguard.domain.errors import UsageError
from crimeguard.settings import SECRETS, VARIABLES, Settings


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    settings = Settings.load({})
    assert settings == Settings()
    assert settings.home == Path(".crimeguard")
    assert (settings.host, settings.port, settings.ui_port) == ("127.0.0.1", 5000, 8501)
    assert settings.api_url == "http://127.0.0.1:5000"


def test_every_setting_has_a_variable() -> None:
    key = "cg_" + "7" * 43
    environ = dict.fromkeys(VARIABLES.values(), "7") | {"CRIMEGUARD_API_KEY": key}
    settings = Settings.load(environ)
    for name in VARIABLES:
        assert str(getattr(settings, name)) in {"7", "7.0", key}, name
    assert VARIABLES["mlflow_tracking_uri"] == "MLFLOW_TRACKING_URI"
    assert {name for name in VARIABLES.values() if not name.startswith("CRIMEGUARD_")} == {
        "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD",
        "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
    }  # fmt: skip


def test_every_variable_is_documented() -> None:
    assert Settings.__doc__
    for variable in VARIABLES.values():
        assert variable in Settings.__doc__


def test_values_are_of_their_kind() -> None:
    settings = Settings.load(
        {"CRIMEGUARD_HOME": "/srv/state", "CRIMEGUARD_PORT": "81",
         "CRIMEGUARD_FOLLOW_SECONDS": "0.5"}
    )  # fmt: skip
    assert settings.home == Path("/srv/state")
    assert settings.port == 81
    assert settings.follow_seconds == 0.5


def test_the_console_finds_the_api_on_its_port() -> None:
    assert Settings.load({"CRIMEGUARD_PORT": "81"}).api_url == "http://127.0.0.1:81"
    named = {"CRIMEGUARD_PORT": "81", "CRIMEGUARD_API_URL": "http://api:5000"}
    assert Settings.load(named).api_url == "http://api:5000"


def test_a_blank_variable_is_none() -> None:
    blank = dict.fromkeys(VARIABLES.values(), "")
    assert Settings.load(blank) == Settings()


@pytest.mark.parametrize("text", ["five", "5.5", "0", "-1", "1e3", " "])
def test_a_number_that_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match="CRIMEGUARD_PORT") as refused:
        Settings.load({"CRIMEGUARD_PORT": text})
    assert refused.value.exit_code == 2
    assert refused.value.fix


@pytest.mark.parametrize("text", ["0", "-0.5", "soon", "nan", "inf"])
def test_a_wrong_interval_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="CRIMEGUARD_FOLLOW_SECONDS"):
        Settings.load({"CRIMEGUARD_FOLLOW_SECONDS": text})


ZERO = ("CRIMEGUARD_RATE_PER_SECOND", "CRIMEGUARD_RATE_BURST", "CRIMEGUARD_DRAIN_SECONDS")


@pytest.mark.parametrize("variable", ZERO)
def test_nothing_where_that_has_a_meaning_can_be_said(variable: str) -> None:
    assert Settings.load({variable: "0"}) == Settings()
    for text in ("-1", "nan", "inf"):
        with pytest.raises(UsageError, match=variable):
            Settings.load({variable: text})


def test_nothing_is_refused_of_every_other_number() -> None:
    numbers = {item.name for item in fields(Settings) if isinstance(item.default, int | float)}
    others = {VARIABLES[name] for name in numbers} - {*ZERO}
    assert len(others) > 10
    for variable in others:
        with pytest.raises(UsageError, match=f"{variable} is '0'"):
            Settings.load({variable: "0"})


def test_what_is_said_by_default_may_be_said() -> None:
    said = {
        VARIABLES[item.name]: str(item.default)
        for item in fields(Settings)
        if item.default is not MISSING
    }
    assert Settings.load(said) == Settings()


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRIMEGUARD_UI_PORT", "8600")
    assert Settings.load().ui_port == 8600


def test_mlflow_lives_in_the_state_folder_unless_named(tmp_path: Path) -> None:
    local = Settings(home=tmp_path)
    assert local.tracking_uri == f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    # An absolute path, so that it does not depend on where a command is called.
    assert Settings().tracking_uri.startswith("sqlite:////")
    named = Settings.load({"MLFLOW_TRACKING_URI": "http://mlflow:5001"})
    assert named.tracking_uri == "http://mlflow:5001"


@pytest.mark.parametrize("key", ["hello", "cg_", "cg_" + "a" * 44, "cg_" + "ä" * 43])
def test_a_key_that_is_none_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(UsageError, match="CRIMEGUARD_API_KEY is no API key") as refused:
        Settings.load({"CRIMEGUARD_API_KEY": key})
    if len(key) > 4:
        assert key not in str(refused.value)


def test_a_key_is_sent_without_the_end_of_its_line_and_never_shown() -> None:
    key = "cg_" + "a" * 43
    settings = Settings.load({"CRIMEGUARD_API_KEY": f"{key}\n", "CRIMEGUARD_API_KEYS": "x:y:z"})
    assert settings.api_headers == {"X-API-Key": key}
    assert key not in repr(settings)
    assert "x:y:z" not in repr(settings)
    assert Settings().api_headers == {}


@pytest.mark.parametrize("variable", sorted(SECRETS))
def test_no_secret_may_be_a_placeholder_or_is_shown(variable: str) -> None:
    for value in ("changethis", "https://u:changethis@host/x"):
        with pytest.raises(UsageError, match=f"{variable} is still a placeholder") as refused:
            Settings.load({variable: value})
        assert refused.value.exit_code == 2
        assert "crimeguard secrets" in refused.value.fix
    real = "cg_" + "q7" * 21 + "-" if variable == "CRIMEGUARD_API_KEY" else "https://u:q7w9@host/x"
    settings = Settings.load({variable: real})
    assert real in {getattr(settings, name) for name in VARIABLES}
    assert "q7" not in repr(settings)


def test_no_secret_is_forgotten() -> None:
    """What is called like a secret is one, and so is an address, unless it is known better."""
    public = {
        "CRIMEGUARD_API_URL", "CRIMEGUARD_API_KEYS_FILE", "CRIMEGUARD_DVC_ENDPOINT",
        "CRIMEGUARD_SODA_URL",
        "CRIMEGUARD_BUNDLE_PUBLIC_KEYS", "CRIMEGUARD_BUNDLE_SIGNING_KEY_FILE",
    }  # fmt: skip
    suspect = {
        name for name in VARIABLES.values()
        if re.search(r"PASSWORD|SECRET|TOKEN|KEY|WEBHOOK|URL|URI", name)
    }  # fmt: skip
    assert suspect - public == SECRETS


def test_every_secret_is_marked_in_the_documentation() -> None:
    page = (Path(__file__).parents[1] / "docs" / "settings.md").read_text()
    marked = re.findall(r"^\| `([A-Z_]+)` \| (?:`[^`|]*` )?\| \*\*secret\*\*", page, re.MULTILINE)
    assert set(marked) == SECRETS
