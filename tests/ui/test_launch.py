import socket
from importlib.util import find_spec

import pytest

from crimeguard.domain.errors import UsageError
from crimeguard.ui import launch


def test_the_console_listens_on_loopback_and_tells_nobody() -> None:
    command = launch.command(8600)
    assert "--server.address=127.0.0.1" in command
    assert "--server.port=8600" in command
    assert "--browser.gatherUsageStats=false" in command
    assert "--client.showErrorDetails=none" in command


def test_every_option_is_one_that_streamlit_knows() -> None:
    from streamlit import config

    known = config.get_config_options()
    assert set(launch.OPTIONS) <= set(known)


def test_what_is_started_is_there() -> None:
    assert launch.SCRIPT.is_file()
    assert find_spec("streamlit") is not None
    assert {path.name for path in launch.ASSETS.iterdir()} == {"logo.svg", "mark.svg"}


def test_the_child_knows_where_the_api_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRIMEGUARD_API_URL", "http://old")
    environment = launch.environment("http://127.0.0.1:5001")
    assert environment["CRIMEGUARD_API_URL"] == "http://127.0.0.1:5001"


def test_a_port_that_is_taken_is_said_before_anything_starts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"Port {port} of 127.0.0.1 is not free"):
            launch.check_port(port)
    launch.check_port(port)
