"""The verb `ui`: serve the console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import subprocess


def ui(
    port: Annotated[
        int, typer.Option(help="Port; 0 takes CRIMEGUARD_UI_PORT (8501).", min=0, max=65535),
    ] = 0,
    api_url: Annotated[
        str, typer.Option(help="Where the API is; by default CRIMEGUARD_API_URL."),
    ] = "",
) -> None:  # fmt: skip
    """Serve the console for people until interrupted.

    Examples:
      crimeguard ui
      crimeguard ui --port 8600
      crimeguard ui --api-url http://127.0.0.1:5001

    It talks to a running `crimeguard serve` and to nothing else. It listens on loopback,
    or on CRIMEGUARD_UI_HOST: then put a proxy with a login in front, it has none itself.
    """
    import subprocess

    from crimeguard.cli.console import console
    from crimeguard.settings import Settings
    from crimeguard.ui.launch import check_port, command, environment, is_loopback, shown

    settings = Settings.load()
    port = port or settings.ui_port
    host = settings.ui_host
    check_port(port, host)
    console.print(f"console: http://{shown(host)}:{port}", markup=False)
    if not is_loopback(host):
        console.print(f"The console listens on {host} and asks nobody who they are: whoever "
                      "reaches it can ask for predictions. Put a proxy with a login in front.",
                      style="yellow", markup=False, soft_wrap=True)  # fmt: skip
    child = subprocess.Popen(  # noqa: S603 -- our own interpreter, fixed arguments
        command(port, host), env=environment(api_url or settings.api_url)
    )
    raise typer.Exit(_wait(child))


def _wait(child: subprocess.Popen[bytes]) -> int:
    """Wait for the console; an interrupt or a polite kill ends it and is no error."""
    import signal

    def end(*_: object) -> None:
        child.terminate()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        code = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0 if code in (0, -signal.SIGTERM, -signal.SIGINT) else 1
