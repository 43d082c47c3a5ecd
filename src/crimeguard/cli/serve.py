"""`crimeguard serve`."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from crimeguard.cli.console import console
from crimeguard.settings import Settings


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.", show_default=False)
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help="Port; 0 takes a free one.", min=0, max=65535, show_default=False),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that answer.", min=1, max=64, show_default=False)
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Serve this bundle and follow nothing.", show_default=False),
    ] = None,
) -> None:
    """Answer predictions over HTTP.

    Examples:
      crimeguard serve
      crimeguard serve --port 8080
      crimeguard serve --workers 4
      crimeguard serve --bundle ./bundle

    Without --bundle it serves what the registry calls production, and changes over
    without a restart when that changes. Address and port default to CRIMEGUARD_HOST and
    CRIMEGUARD_PORT, --workers to CRIMEGUARD_WORKERS, --bundle to CRIMEGUARD_BUNDLE. A worker
    that dies is replaced. Beyond loopback it needs API keys: see
    `crimeguard key`. Ctrl-C or SIGTERM ends it after the requests in flight.
    """
    from crimeguard.serve import server

    settings = Settings.load()
    settings = replace(
        settings,
        host=settings.host if host is None else host,
        port=settings.port if port is None else port,
        workers=settings.workers if workers is None else workers,
    )

    def tell(address: str) -> None:
        if settings.log_format == "json":
            logging.getLogger("crimeguard.serve").info("CrimeGuard answers at %s", address)
            return
        console.print(f"CrimeGuard answers at {address} (documentation: {address}/docs).",
                      soft_wrap=True)  # fmt: skip

    if bundle is None and settings.bundle:
        bundle = Path(settings.bundle)
    server.run(settings, bundle=bundle, on_listen=tell)
