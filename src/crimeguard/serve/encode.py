"""A scored batch as bytes, in each of the forms that can be asked for."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import orjson
import polars as pl

from crimeguard.domain.category import CATEGORIES
from crimeguard.serve.batch import Scored
from crimeguard.serve.negotiate import JSON
from crimeguard.serve.table import answer_table

_STEP: Final = 8_192  # rows written at once
_COLUMNS: Final = ("DR_NO", "prediction", "confidence", "probabilities", "prediction_set",
                   "information_level", "prediction_id")  # fmt: skip
# Older readers of Arrow know no views.
_PLAIN: Final = pl.CompatLevel.oldest()
# What ends an Arrow stream: a mark and no message.
_END: Final = b"\xff\xff\xff\xff\0\0\0\0"


def as_json(scored: Scored) -> Iterator[bytes]:
    """Write one JSON document: the predictions, then what holds for all of them."""
    separator = b'{"predictions":['
    for table in _tables(scored):
        shares = pl.struct(pl.col(f"p_{name}").alias(name) for name in CATEGORIES)
        lines = io.BytesIO()
        table.with_columns(probabilities=shares).select(_COLUMNS).write_ndjson(lines)
        # The only line ends are those between rows: within texts they are written as \n.
        yield separator + lines.getvalue()[:-1].replace(b"\n", b",")
        separator = b","
    closing = {
        "rows": scored.rows, "summary": scored.summary(),
        "ignored_fields": scored.batch.ignored, "model_info": scored.info,
    }  # fmt: skip
    yield b"]," + orjson.dumps(closing)[1:]


def as_csv(scored: Scored) -> Iterator[bytes]:
    """Write a table with a heading; the categories of a set with blanks between."""
    for place, table in enumerate(_tables(scored)):
        flat = table.with_columns(pl.col("prediction_set").list.join(" "))
        yield flat.write_csv(include_header=place == 0).encode()


def as_arrow(scored: Scored) -> Iterator[bytes]:
    """Write a table as an Arrow IPC stream of several record batches."""
    for place, table in enumerate(_tables(scored)):
        out = io.BytesIO()
        table.write_ipc_stream(out, compat_level=_PLAIN)
        written = out.getvalue()
        # A mark and a length stand before the schema, which only the first may bring along.
        schema = 8 + int.from_bytes(written[4:8], "little")
        yield written[schema if place else 0 : -len(_END)]
    yield _END


def as_parquet(scored: Scored) -> Iterator[bytes]:
    """Write a table as one Parquet file, in memory: its directory stands at its end."""
    out = io.BytesIO()
    pl.concat(_tables(scored)).write_parquet(out, compression="lz4", statistics=False)
    with out.getbuffer() as content:
        for start in range(0, len(content), 1 << 20):
            yield bytes(content[start : start + (1 << 20)])


FORMS: Final[Mapping[str, Callable[[Scored], Iterator[bytes]]]] = {
    JSON: as_json,
    "text/csv": as_csv,
    "application/vnd.apache.parquet": as_parquet,
    "application/vnd.apache.arrow.stream": as_arrow,
}


def _tables(scored: Scored) -> Iterator[pl.DataFrame]:
    for start in range(0, scored.rows, _STEP):
        part = scored.part(start, min(start + _STEP, scored.rows))
        yield answer_table(part.batch.dr_no, part.probabilities, part.batch.columns.level,
                           part.inside, part.ids)  # fmt: skip
