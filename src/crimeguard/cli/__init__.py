"""The command line: one file a verb."""

from crimeguard.cli.app import main

__all__ = ["main"]
