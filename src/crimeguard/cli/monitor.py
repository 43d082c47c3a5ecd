"""`crimeguard monitor`: tells whether the world has moved away from the model."""

from __future__ import annotations

import datetime as dt
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from crimeguard.cli.console import console, emit, progress
from crimeguard.cli.court import opened, person
from crimeguard.cli.options import OnBad, OnBadOption
from crimeguard.domain.errors import CrimeGuardError

if TYPE_CHECKING:
    from crimeguard.monitor.watch import Look
    from crimeguard.settings import Settings
    from crimeguard.train.params import Params

DRIFT_FOUND: Final = 4
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def monitor(
    data: Annotated[
        Path | None, typer.Option(help="Judge a file of incidents instead of the log.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Predictions from this moment on (UTC).")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for flag and pages; default: monitoring in the "
                                  "home.")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--evidently/--no-evidently", help="Make Evidently's page as well.")
    ] = True,
    every: Annotated[
        str | None, typer.Option(metavar="PERIOD", help="Go on for ever: 30s, 15m, 1h, 1d.")
    ] = None,
    params: Annotated[
        Path | None, typer.Option(help="Parameters; default: params.yaml here, if there is one.")
    ] = None,
    on_bad: OnBadOption = OnBad.REFUSE,
    as_json: Annotated[bool, typer.Option("--json", help="Write the verdict to stdout.")] = False,
) -> None:  # fmt: skip
    """Hold recent predictions against what the model in production was trained on.

    Examples:
      crimeguard monitor
      crimeguard monitor --data march.csv --json
      crimeguard monitor --every 1h

    Writes drift.html, drift.json, evidently.html and, if the verdict is critical, the file
    drift_detected; the verdict is a line in the ledger, a gauge of the API, and an alert
    where one is set up. Exit code 4 means drift, 0 none or too few incidents.
    """
    from crimeguard.settings import Settings
    from crimeguard.train.params import load_params

    settings, loaded = Settings.load(), load_params(params)
    period = None if every is None else parse_period(every)
    start = None if since is None else parse_moment(since)

    def look() -> Look:
        found = run(settings, loaded, data=data, since=start, out=out, compare=compare,
                    drop_bad=on_bad is OnBad.DROP, quiet=as_json)  # fmt: skip
        if as_json:
            emit(found.document)
        return found

    if period is not None:
        _look_for_ever(look, period)
    elif look().verdict.status == "critical":
        raise typer.Exit(DRIFT_FOUND)


def _look_for_ever(look: Callable[[], Look], period: float) -> None:
    """Look again and again; what fails is told, and may well work the next time."""
    _end_when_asked()
    while True:
        try:
            look()
        except CrimeGuardError as error:
            console.print(f"error: {error}", style="bold red", markup=False, soft_wrap=True)
        time.sleep(period)


def run(
    settings: Settings, params: Params, *, data: Path | None = None,
    since: dt.datetime | None = None, out: Path | None = None, compare: bool = True,
    drop_bad: bool = False, quiet: bool = False,
) -> Look:  # fmt: skip
    """Take one look, and tell of it."""
    from crimeguard.monitor.alerts import Alerter
    from crimeguard.monitor.channels import channels_of
    from crimeguard.monitor.sources import observe_file, observe_log
    from crimeguard.monitor.watch import Watcher

    now = dt.datetime.now(dt.UTC)
    with progress(quiet=quiet) as bars, opened(settings, params) as (court, database):
        task = bars.add_task("fetch the model in production", total=None)
        champion = court.champion()
        if champion is None:
            raise CrimeGuardError("There is nothing to watch.", why="No model is in production.",
                                  fix="Run `crimeguard train` first.")  # fmt: skip
        bars.update(task, description="read the window")
        if data is None:
            observed = observe_log(database, champion, params.monitor, now=now, since=since)
        else:
            observed = observe_file(data, champion, params.monitor, drop_bad=drop_bad)
        repeat = dt.timedelta(hours=settings.alert_repeat_hours)
        watcher = Watcher(
            court.ledger, Alerter(court.ledger, channels_of(settings), repeat, person()),
            params.monitor, out or settings.home / "monitoring", person(),
        )  # fmt: skip
        bars.update(task, description="judge")
        source = "the prediction log" if data is None else data.name
        look = watcher.look(observed, champion, source=source, now=now)
        if compare and look.verdict.status != "too few":
            bars.update(task, description="Evidently's page")
            watcher.compare(observed, champion, look.document)
    if not quiet:
        _tell(look)
    return look


def _tell(look: Look) -> None:
    colours = {"critical": "bold red", "warning": "yellow", "ok": "green"}
    console.print(look.sentence, style=colours.get(look.verdict.status, ""), markup=False,
                  soft_wrap=True)  # fmt: skip
    found = look.verdict.performance
    if found is not None:
        now = found.estimated
        console.print(f"accuracy: {now.value:.1%} estimated ({now.low:.1%} to {now.high:.1%}), "
                      f"{found.expected:.1%} on the hold-out", markup=False)  # fmt: skip
        if found.realised is not None:
            true = found.realised
            console.print(f"          {true.value:.1%} realised ({true.low:.1%} to "
                          f"{true.high:.1%}) on {true.rows:,} labels", markup=False)  # fmt: skip
    for outcome in look.alerts:
        told = outcome.error or outcome.note or "sent"
        console.print(f"alert by {outcome.channel}: {told}", markup=False)
    console.print(f"page  {look.folder / 'drift.html'}", markup=False, soft_wrap=True)


def _end_when_asked() -> None:
    """Let SIGTERM and Ctrl-C end what goes on for ever: files are whole, locks are let go of."""

    def end(*_: object) -> None:
        raise SystemExit(0)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)


def parse_period(text: str) -> float:
    """Read a period such as 30s, 15m, 1h or 1d into seconds; BadParameter if it is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if found is None or float(found[1]) <= 0:
        raise typer.BadParameter(f"{text!r} is no period (30s, 15m, 1h, 1d)", param_hint="--every")
    return float(found[1]) * _UNITS[found[2]]


def parse_moment(text: str) -> dt.datetime:
    """Read a moment in ISO form, in UTC unless it says otherwise; BadParameter if it is none."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time (2023-03-10T12:00)",
                                 param_hint="--since") from None  # fmt: skip
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
