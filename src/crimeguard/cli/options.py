"""Options and values that several verbs take."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from crimeguard.train.cluster import Cluster


class OnBad(StrEnum):
    """What becomes of rows with a value that cannot be understood."""

    REFUSE = "refuse"
    DROP = "drop"


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
