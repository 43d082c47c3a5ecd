"""Options and values that several verbs take."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from crimeguard.train.cluster import Cluster


class OnBad(StrEnum):
    """What becomes of rows with a value that cannot be understood."""

    REFUSE = "refuse"
    DROP = "drop"


# As limits.QUARANTINE_MOST, whose import would slow every --help down; a test holds them.
MOST_BAD: Final = 0.05


class OnBadRows(StrEnum):
    """What becomes of bad rows where the others are stored."""

    REFUSE = "refuse"
    DROP = "drop"
    QUARANTINE = "quarantine"


OnBadRowsOption = Annotated[
    OnBadRows,
    typer.Option(help="refuse: bad rows are an error. drop: those that cannot be read go into "
                 "quarantine. quarantine: those that break the contract, too."),
]  # fmt: skip
MostBadOption = Annotated[
    float,
    typer.Option(metavar="SHARE", min=0, max=1,
                 help="With --on-bad quarantine: the share of rows that may go there."),
]  # fmt: skip
OnBadOption = Annotated[
    OnBad, typer.Option(help="Rows that cannot be read are an error, or left out.")
]

DaskOption = Annotated[
    str | None,
    typer.Option(metavar="tcp://HOST:PORT", help="Let the workers of a Dask scheduler do it."),
]


@contextmanager
def crew(address: str | None) -> Iterator[Cluster | None]:
    """Connect to the cluster that an option names; None if it names none."""
    if address is None:
        yield None
        return
    from crimeguard.train.cluster import cluster

    with cluster(address) as workers:
        yield workers


def parse_day(text: str) -> dt.date:
    """Read a day given on the command line; BadParameter if it is none."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date (YYYY-MM-DD)") from None
