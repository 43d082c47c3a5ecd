"""`crimeguard notice`: tell how a build ended, through the channels of the alerts."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from crimeguard.cli.console import console

KEY = "pipeline"


class Result(StrEnum):
    """How a build ended."""

    SUCCESS = "success"
    FAILURE = "failure"


def notice(
    result: Annotated[Result, typer.Option(help="How it ended.")],
    subject: Annotated[str, typer.Option(help="What ended: a job and its number.")],
    url: Annotated[str, typer.Option(help="Where to read more.")] = "",
) -> None:
    """Send one message that a build succeeded or failed.

    Examples:
      crimeguard notice --result failure --subject "crimeguard 12" --url "$BUILD_URL"
      crimeguard notice --result success --subject nightly

    It goes where alerts go (CRIMEGUARD_ALERT_WEBHOOK and the others); without a channel
    nothing is sent. A channel that fails is told, and is no error: it says nothing about
    the build.
    """
    send(result, subject, url)


def send(result: Result, subject: str, url: str = "") -> None:
    """Send to every channel, and tell what became of each."""
    from crimeguard.monitor.alerts import Alert, send_once
    from crimeguard.monitor.channels import channels_of
    from crimeguard.settings import Settings

    channels = channels_of(Settings.load())
    if not channels:
        console.print("no notice: no channel is set up (CRIMEGUARD_ALERT_WEBHOOK)", markup=False)
        return
    failed = result is Result.FAILURE
    details = {"result": result.value, **({"url": url} if url else {})}
    words = f"{subject} {'failed' if failed else 'succeeded'}" + (f": {url}" if url else ".")
    alert = Alert(KEY, "critical" if failed else "resolved", words, details)
    for channel in channels:
        outcome = send_once(channel, alert)
        console.print(f"notice by {outcome.channel}: {outcome.error or outcome.note or 'sent'}",
                      markup=False, soft_wrap=True)  # fmt: skip
