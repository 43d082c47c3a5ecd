from pathlib import Path

import pytest

from crimeguard.domain.errors import UsageError
from crimeguard.settings import VARIABLES, Settings


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    settings = Settings.load({})
    assert settings == Settings()
    assert settings.home == Path(".crimeguard")
    assert (settings.host, settings.port, settings.ui_port) == ("127.0.0.1", 5000, 8501)
    assert settings.api_url == "http://127.0.0.1:5000"


def test_every_setting_has_a_variable() -> None:
    environ = dict.fromkeys(VARIABLES.values(), "7")
    settings = Settings.load(environ)
    for name in VARIABLES:
        assert str(getattr(settings, name)) in {"7", "7.0"}, name
    assert VARIABLES["mlflow_tracking_uri"] == "MLFLOW_TRACKING_URI"
    assert {name for name in VARIABLES.values() if not name.startswith("CRIMEGUARD_")} == {
        "MLFLOW_TRACKING_URI"
    }


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
