"""What the verbs that judge and change models share."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from crimeguard.cli.console import console

if TYPE_CHECKING:
    from crimeguard.evaluate.gates import Judgement
    from crimeguard.records.database import Database
    from crimeguard.registry.judging import Court
    from crimeguard.settings import Settings
    from crimeguard.train.params import Params


def person() -> str:
    """Name who runs this command, for the ledger."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "somebody without a name"
    return f"{user}@{socket.gethostname()}"


@contextmanager
def opened(settings: Settings, params: Params) -> Iterator[tuple[Court, Database]]:
    """Open registry, records and ledger, and close the records at the end."""
    from crimeguard.records.database import open_database
    from crimeguard.records.ledger import Ledger
    from crimeguard.registry.judging import Court
    from crimeguard.registry.store import open_registry

    database = open_database(settings)
    try:
        yield Court(open_registry(settings), Ledger(database), settings, params), database
    finally:
        database.close()


def tell_gates(judgement: Judgement) -> None:
    """Say in one line a gate what each found; what refused in red, with its reasons."""
    for verdict in judgement.verdicts:
        style = "green" if verdict.passed else "bold red"
        console.print(f"{verdict.gate:<12}{'pass' if verdict.passed else 'REFUSE':<8}"
                      f"{verdict.why}", style=style, markup=False, soft_wrap=True)  # fmt: skip
