"""Options and values that several verbs take."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Annotated

import typer


class OnBad(StrEnum):
    """What becomes of rows with a value that cannot be understood."""

    REFUSE = "refuse"
    DROP = "drop"


OnBadOption = Annotated[
    OnBad, typer.Option(help="Rows that cannot be read are an error, or left out.")
]


def parse_day(text: str) -> dt.date:
    """Read a day given on the command line; BadParameter if it is none."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date (YYYY-MM-DD)") from None
