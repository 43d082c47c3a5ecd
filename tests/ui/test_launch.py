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
    assert "--browser.serverAddress=127.0.0.1" in command


@pytest.mark.parametrize(
    ("host", "shown"),
    [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("10.1.2.3", "10.1.2.3"), ("fd00::1", "[fd00::1]")],
)
def test_beyond_loopback_it_keeps_its_guards(host: str, shown: str) -> None:
    command = launch.command(8600, host)
    assert f"--server.address={host}" in command
    # Without this one Streamlit asks a stranger for the machine's address.
    assert f"--browser.serverAddress={shown}" in command
    assert "--server.enableXsrfProtection=true" in command
    assert "--server.enableCORS=true" in command
    assert "--server.enableAgentApi=false" in command
    assert launch.shown(host) == shown
    assert not launch.is_loopback(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_is_known(host: str) -> None:
    assert launch.is_loopback(host)
    assert not launch.is_loopback("example.org")


def test_every_option_is_one_that_streamlit_knows() -> None:
    from streamlit import config

    known = config.get_config_options()
    assert set(launch.OPTIONS) <= set(known)
    given = {word[2:].partition("=")[0] for word in launch.command(1) if word.startswith("--")}
    assert given <= set(known)


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
        with pytest.raises(UsageError, match=f"Port {port} of 0.0.0.0 is not free"):
            launch.check_port(port, "0.0.0.0")
    launch.check_port(port)
    launch.check_port(port, "0.0.0.0")


def test_an_address_that_this_machine_has_not_is_said() -> None:
    with pytest.raises(UsageError, match="CRIMEGUARD_UI_HOST"):
        launch.check_port(8600, "192.0.2.1")
