"""`crimeguard up`: everything at once, on this machine, offline."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from crimeguard.cli.children import child, wait_ready
from crimeguard.cli.console import console
from crimeguard.domain.errors import CrimeGuardError, UsageError

if TYPE_CHECKING:
    from crimeguard.settings import Settings

ROWS: Final = 30_000
EXAMPLE: Final = {
    "DATE OCC": "03/10/2023", "TIME OCC": "2130", "AREA": "12", "Premis Cd": "502",
    "Vict Age": "34", "Vict Sex": "F", "Weapon Used Cd": "400", "Mocodes": "0416 2000 1813",
}  # fmt: skip


def up(
    data: Annotated[
        Path | None, typer.Option(help="Incidents to train on; default: simulated ones.")
    ] = None,
    rows: Annotated[int, typer.Option(min=5_000, help="Incidents to simulate.")] = ROWS,
    once: Annotated[
        bool, typer.Option(help="Stop the servers after the first prediction.")
    ] = False,
) -> None:
    """Make data, train, register, judge, promote; serve API and console.

    Examples:
      crimeguard up
      crimeguard up --data incidents.parquet
      crimeguard up --once

    What is there already is not made again. Ctrl-C ends both servers.
    """
    from crimeguard.settings import Settings
    from crimeguard.ui.launch import check_port, shown

    settings = Settings.load()
    check_port(settings.ui_port, settings.ui_host)
    _require_key(settings)
    began = time.monotonic()
    _ensure_model(settings, data, rows)
    api = f"http://{shown(settings.host)}:{settings.port}"
    settings = replace(settings, api_url=api)
    with child("serve") as served, child("ui", "--api-url", api) as console_process:
        wait_ready(api, served)
        answer = _first_prediction(api, settings.api_headers)
        _tell(settings, answer, time.monotonic() - began)
        if not once:
            _watch(served, console_process)


def _ensure_model(settings: Settings, data: Path | None, rows: int) -> None:
    from crimeguard.cli.train import run
    from crimeguard.registry.store import PRODUCTION, open_registry
    from crimeguard.train.params import load_params

    registry = open_registry(settings)
    if data is None and registry.version_of(PRODUCTION) is not None:
        console.print("a model is in production already; `crimeguard train` makes another",
                      markup=False)  # fmt: skip
        return
    outcome = run(data or _simulated(settings.home, rows), settings, load_params())
    if not outcome["passed"]:
        raise typer.Exit(3)


def _simulated(home: Path, rows: int) -> Path:
    """Make incidents to train on, unless an earlier run left them."""
    from crimeguard.cli.simulate import simulate

    out = home / "data" / f"simulated-{rows}.parquet"
    if not out.exists():
        console.print(f"simulating {rows:,} incidents", markup=False)
        simulate(out=out, rows=rows)
    return out


def _require_key(settings: Settings) -> None:
    """Say at once, and not after the training, that our own callers will not be let in."""
    from crimeguard.serve.keys import Scope, open_keys

    keys = open_keys(settings)
    mine = None if keys is None else keys.find(settings.api_key)
    if keys is not None and (mine is None or Scope.PREDICT not in mine.scopes):
        raise UsageError(
            "CRIMEGUARD_API_KEY does not fit the API keys that are set.",
            why="The console and the first prediction need a key with the scope `predict`.",
            fix="Make one with `crimeguard key --name console --scope predict`.",
        )


def _first_prediction(api: str, headers: Mapping[str, str]) -> dict[str, Any]:
    import httpx

    response = httpx.post(f"{api}/predict", json=EXAMPLE, headers=headers, timeout=30)
    response.raise_for_status()
    answer: dict[str, Any] = response.json()
    return answer


def _tell(settings: Settings, answer: dict[str, Any], seconds: float) -> None:
    from crimeguard.ui.launch import shown

    headers = "-H 'Content-Type: application/json'"
    if settings.api_key:
        # The key itself is not for a terminal's memory.
        headers += ' -H "X-API-Key: $CRIMEGUARD_API_KEY"'
    body = json.dumps(EXAMPLE)
    said = (
        "",
        f"API       {settings.api_url}/docs",
        f"console   http://{shown(settings.ui_host)}:{settings.ui_port}",
        f"state     {settings.home.resolve()}",
        "",
        f"curl -s {settings.api_url}/predict {headers} -d '{body}'",
        f"-> {answer['prediction']} ({answer['confidence']:.0%})",
        "",
        f"ready after {seconds:.0f} s; Ctrl-C ends both servers",
    )
    for line in said:
        console.print(line, markup=False, soft_wrap=True)


def _watch(*children: subprocess.Popen[bytes]) -> None:
    """Wait until we are asked to stop, or a server ends by itself."""
    asked = False

    def stop(*_: object) -> None:
        nonlocal asked
        asked = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    while not asked:
        if any(child.poll() is not None for child in children):
            raise CrimeGuardError("A server ended by itself.", fix="See its words above.")
        time.sleep(0.5)
