"""What is asked: simulated incidents, under the headings of the export."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from crimeguard.domain.field import BY_NAME
from crimeguard.domain.incident import INCIDENT_FIELDS
from crimeguard.ingest.simulator import simulate

Record = dict[str, str]

SEED: Final = 23
_COLUMNS: Final = ("DR_NO", *(BY_NAME[name].column for name in INCIDENT_FIELDS))


def records(rows: int) -> list[Record]:
    """Return so many different incidents; what is blank is left out."""
    table = pl.concat(simulate(rows, seed=SEED)).select(_COLUMNS)
    return [{name: text.strip() for name, text in row.items() if text.strip()}
            for row in table.iter_rows(named=True)]  # fmt: skip


def write_bodies(incidents: list[Record], form: Callable[[Record], Any], file: Path) -> Path:
    """Write the requests of a server that takes them in its own form, one a line."""
    file.write_bytes(b"\n".join(orjson.dumps(form(record)) for record in incidents) + b"\n")
    return file


def parquet(rows: int) -> bytes:
    """Return incidents as a Parquet file of text, as an export would be."""
    content = io.BytesIO()
    pl.concat(simulate(rows, seed=SEED)).write_parquet(content)
    return content.getvalue()


def arrow(rows: int) -> bytes:
    """Return the same incidents as a stream of Arrow."""
    content = io.BytesIO()
    pl.concat(simulate(rows, seed=SEED)).write_ipc_stream(content)
    return content.getvalue()
