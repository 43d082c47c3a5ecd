"""How the console is started: Streamlit as a child, telling nobody."""

from __future__ import annotations

import errno
import ipaddress
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
    "server.headless": "true",
    # Pages of other sites may neither read the console nor send it anything.
    "server.enableCORS": "true",
    "server.enableXsrfProtection": "true",
    # A way around the pages for programs; those should ask the API.
    "server.enableAgentApi": "false",
    "server.showEmailPrompt": "false",
    "server.fileWatcherType": "none",
    "server.maxUploadSize": "200",
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


def check_port(port: int, host: str = "127.0.0.1") -> None:
    """Raise UsageError if the port cannot be taken, before Streamlit would say so in its way."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UsageError(
                f"Port {port} of {host} is not free.", why=_why(error),
                fix="End it, or choose another port with --port or CRIMEGUARD_UI_PORT, or "
                "another address with CRIMEGUARD_UI_HOST.",
            ) from None  # fmt: skip


def _why(error: OSError) -> str:
    taken = error.errno == errno.EADDRINUSE
    return "Another program listens there." if taken else f"{error.strerror}."


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def shown(host: str) -> str:
    """Return an address that a browser on this machine can go to, for use in a URL."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- read, not bound
    return f"[{host}]" if ":" in host else host


def command(port: int, host: str = "127.0.0.1") -> list[str]:
    """Return the command that serves the console on `host`:`port`.

    Streamlit looks for this machine's address at a stranger's unless it is told one. It
    names the console in what Streamlit prints, and an origin besides the page's own; a
    proxy in front has to hand on the Host that the browser sent.
    """
    named = {"server.address": host, "server.port": port, "browser.serverAddress": shown(host)}
    options = [f"--{name}={value}" for name, value in {**named, **OPTIONS}.items()]
    return [sys.executable, "-m", "streamlit", "run", str(SCRIPT), *options]


def environment(api_url: str) -> dict[str, str]:
    """Return the child's environment: ours, and where the API is."""
    return {**os.environ, "CRIMEGUARD_API_URL": api_url, "DO_NOT_TRACK": "1"}
