"""How the console is started: Streamlit as a child, on loopback, telling nobody."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from crimeguard.domain.errors import UsageError

ASSETS: Final = Path(__file__).with_name("assets")
SCRIPT: Final = Path(__file__).with_name("app.py")

OPTIONS: Final[Mapping[str, str]] = {
    "server.address": "127.0.0.1",
    "server.headless": "true",
    "server.showEmailPrompt": "false",
    "server.fileWatcherType": "none",
    "server.maxUploadSize": "200",
    "browser.serverAddress": "127.0.0.1",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "viewer",
    "client.showErrorDetails": "none",
    "client.showErrorLinks": "false",
    "theme.showWidgetBorder": "true",
    "theme.baseRadius": "small",
    "theme.headingFontSizes": "2rem,1.5rem,1.2rem,1.1rem,1rem,1rem",
    "theme.metricValueFontSize": "1.6rem",
    "theme.metricValueFontWeight": "600",
    "theme.paddingTop": "2rem",
    "theme.light.primaryColor": "#2b6a9f",
    "theme.light.backgroundColor": "#ffffff",
    "theme.light.secondaryBackgroundColor": "#f3f6f9",
    "theme.light.textColor": "#1d2733",
    "theme.light.borderColor": "#d3dbe3",
    "theme.dark.primaryColor": "#5b9fd6",
    "theme.dark.backgroundColor": "#12181f",
    "theme.dark.secondaryBackgroundColor": "#1b242e",
    "theme.dark.textColor": "#e4eaf0",
    "theme.dark.borderColor": "#34414e",
}


def check_port(port: int) -> None:
    """Raise UsageError if the port is taken, before Streamlit would say so in its way."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise UsageError(
                f"Port {port} of 127.0.0.1 is not free.", why="Another program listens there.",
                fix="End it, or choose another port with --port or CRIMEGUARD_UI_PORT.",
            ) from None  # fmt: skip


def command(port: int) -> list[str]:
    """Return the command that serves the console on 127.0.0.1:`port`."""
    options = [f"--{name}={value}" for name, value in OPTIONS.items()]
    return [
        sys.executable, "-m", "streamlit", "run", str(SCRIPT), f"--server.port={port}", *options,
    ]  # fmt: skip


def environment(api_url: str) -> dict[str, str]:
    """Return the child's environment: ours, and where the API is."""
    return {**os.environ, "CRIMEGUARD_API_URL": api_url, "DO_NOT_TRACK": "1"}
