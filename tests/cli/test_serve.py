from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from crimeguard.cli.serve import serve
from crimeguard.serve import server
from crimeguard.settings import Settings


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Settings, Path | None]]:
    """Record what the server is asked to do instead of doing it."""
    calls: list[tuple[Settings, Path | None]] = []

    def run(settings: Settings, *, bundle: Path | None, on_listen: Callable[[str], None]) -> None:
        calls.append((settings, bundle))
        on_listen("http://127.0.0.1:1234")

    monkeypatch.setattr(server, "run", run)
    return calls


def invoke(*arguments: str, env: dict[str, str] | None = None) -> Any:
    app = typer.Typer(rich_markup_mode=None)
    app.command()(serve)
    return CliRunner().invoke(app, list(arguments), env=env)


def test_settings_come_from_the_environment(asked: list[tuple[Settings, Path | None]]) -> None:
    result = invoke(env={"CRIMEGUARD_PORT": "8123"})
    assert result.exit_code == 0
    ((settings, bundle),) = asked
    assert (settings.host, settings.port, bundle) == ("127.0.0.1", 8123, None)


def test_options_come_first(asked: list[tuple[Settings, Path | None]]) -> None:
    options = ("--port", "0", "--host", "::1", "--bundle", "x")
    assert invoke(*options, env={"CRIMEGUARD_PORT": "8123"}).exit_code == 0
    ((settings, bundle),) = asked
    assert (settings.host, settings.port, bundle) == ("::1", 0, Path("x"))


@pytest.mark.parametrize("options", [(), ("--bundle", "option")])
def test_a_bundle_may_be_named_in_the_environment(
    asked: list[tuple[Settings, Path | None]], options: tuple[str, ...]
) -> None:
    assert invoke(*options, env={"CRIMEGUARD_BUNDLE": "variable"}).exit_code == 0
    ((_, bundle),) = asked
    assert bundle == Path(options[-1] if options else "variable")


def test_it_says_where_it_answers(asked: list[tuple[Settings, Path | None]]) -> None:
    assert "http://127.0.0.1:1234/docs" in invoke().output


def test_a_port_out_of_range_is_a_usage_error(asked: list[tuple[Settings, Path | None]]) -> None:
    assert invoke("--port", "70000").exit_code == 2
    assert asked == []


def test_help_begins_with_examples() -> None:
    text = " ".join(invoke("--help").output.split())
    assert text.index("crimeguard serve --bundle") < text.index("--host")
