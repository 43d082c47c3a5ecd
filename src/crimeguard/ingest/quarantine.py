"""Quarantine: the rows that a snapshot did not take, as they came, and why.

They lie beside the snapshots, not in them: what a model sees is named by its content, and
what it must not see is not sent to a remote. One Parquet file a source, `row` its number
there, `checks` and `reasons` what is wrong, `came` the row itself with its own columns.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from crimeguard.domain.errors import DataError
from crimeguard.ingest.digest import file_sha256
from crimeguard.ingest.source import read_table
from crimeguard.ingest.writer import replacing, write_text

FOLDER: Final = "quarantine"
SCHEMA_VERSION: Final = 1
_ID_LENGTH: Final = 16  # hexadecimal digits of the source's sha256
FAULTS: Final = {"row": pl.Int64(), "check": pl.String(), "reason": pl.String()}
# What a CSV says beside the row; such columns of an earlier round trip give way.
CSV_COLUMNS: Final = ("crimeguard_row", "crimeguard_checks", "crimeguard_reasons")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where rows came from: a name, a sha256 of all of it, and how to have them once more.

    They are asked for only if some are bad, which is rare; so none is kept for that.
    """

    name: str
    sha256: str
    again: Callable[[], pl.DataFrame]

    @classmethod
    def of_file(cls, file: Path) -> Origin:
        """Return the origin that is a file."""
        return cls(file.name, file_sha256(file), lambda: read_table(file))

    @classmethod
    def of_frame(cls, name: str, frame: pl.DataFrame) -> Origin:
        """Return the origin that is a table in memory."""
        buffer = frame.write_ipc(None)
        return cls(name, hashlib.sha256(buffer.getbuffer()).hexdigest(), lambda: frame)


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The rows of one source that one snapshot did not take.

    `checks` counts rows by what is wrong with them; a row with two faults counts in both.
    """

    path: Path
    snapshot: str
    source: str
    source_sha256: str
    rows_in: int
    rows: int
    checks: dict[str, int]

    @classmethod
    def load(cls, file: Path) -> Quarantine:
        """Read the description of a quarantine; DataError if it or its rows are damaged."""
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
            if told["schema_version"] != SCHEMA_VERSION:
                raise _damaged(file, f"It is of schema {told['schema_version']}.")
            found = cls(
                file.with_suffix(".parquet"), str(told["snapshot"]), str(told["source"]),
                str(told["source_sha256"]), int(told["rows_in"]), int(told["rows"]),
                {str(name): int(count) for name, count in told["checks"].items()},
            )  # fmt: skip
            digest = file_sha256(found.path)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise _damaged(file, f"{type(error).__name__}: {error}.") from None
        if digest != told.get("sha256"):
            raise _damaged(found.path, "Its sha256 is not the one that was written down.")
        return found

    def scan(self) -> pl.LazyFrame:
        """Return `row` (from 1), `checks`, `reasons` and `came`, in the order of the source."""
        return pl.scan_parquet(self.path, glob=False)

    def table(self) -> pl.DataFrame:
        """Return the rows in the columns in which they came, the reasons in front, as text."""
        frame = self.scan().collect()
        came = frame["came"].struct.unnest()
        reasons = frame.select(
            pl.col("row").cast(pl.String).alias(CSV_COLUMNS[0]),
            pl.col("checks").list.join("; ").alias(CSV_COLUMNS[1]),
            pl.col("reasons").list.join("; ").alias(CSV_COLUMNS[2]),
        )
        plain = came.select(_text(came[name]) for name in came.columns if name not in CSV_COLUMNS)
        return reasons.hstack(plain)

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as JSON types."""
        return {
            "snapshot": self.snapshot, "source": self.source,
            "source_sha256": self.source_sha256, "path": str(self.path),
            "rows_in": self.rows_in, "rows": self.rows, "checks": self.checks,
        }  # fmt: skip


def write_quarantine(
    faults: pl.DataFrame, home: Path, snapshot: str, origin: Callable[[], Origin], *, rows_in: int
) -> int:
    """Keep the rows that have a fault beside a snapshot; return how many.

    Parameters
    ----------
    faults : polars.DataFrame
        Of the schema FAULTS, `row` the 0-based position in the origin; a row may have many.
    home : pathlib.Path
        The state folder (CRIMEGUARD_HOME).
    snapshot : str
        The id of the snapshot that does not take them.
    origin : callable
        Returns where they came from; called only if there is a fault.
    rows_in : int
        The rows that it had when it was read first; DataError if it has changed.
    """
    if not faults.height:
        return 0
    told = faults.group_by("row", maintain_order=True).agg(
        checks=pl.col("check").unique(maintain_order=True), reasons="reason"
    )
    source = origin()
    raw = source.again()
    if raw.height != rows_in:
        raise DataError(f"{source.name} has changed while it was read.",
                        why=f"It had {rows_in:,} rows, now it has {raw.height:,}.",
                        fix="Prepare it again when it is complete.")  # fmt: skip
    came = raw.with_row_index("_").select(
        pl.col("_").cast(pl.Int64).alias("row"), came=pl.struct(raw.columns)
    )
    kept = told.join(came, on="row", how="inner").sort("row").with_columns(pl.col("row") + 1)
    target = home / FOLDER / snapshot / f"{source.sha256[:_ID_LENGTH]}.parquet"
    with replacing(target) as handle:
        kept.write_parquet(handle, compression="zstd")
    # What lies there is what counts, not what was meant to.
    rows = int(pl.scan_parquet(target, glob=False).select(pl.len()).collect().item())
    write_text(target.with_suffix(".json"), json.dumps({
        "schema_version": SCHEMA_VERSION, "snapshot": snapshot, "source": source.name,
        "source_sha256": source.sha256, "rows_in": rows_in, "rows": rows,
        "checks": _by_check(kept["checks"]), "sha256": file_sha256(target),
    }, indent=2) + "\n")  # fmt: skip
    return rows


def quarantines(home: Path, snapshot: str) -> list[Quarantine]:
    """Return what a snapshot did not take, by source; empty if it took all."""
    return [Quarantine.load(file) for file in sorted((home / FOLDER / snapshot).glob("*.json"))]


def together(found: Sequence[Quarantine]) -> dict[str, int]:
    """Add up rows by check, the most frequent first."""
    counts: dict[str, int] = {}
    for item in found:
        for check, count in item.checks.items():
            counts[check] = counts.get(check, 0) + count
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _by_check(checks: pl.Series) -> dict[str, int]:
    counts = checks.explode().value_counts().sort(["count", "checks"], descending=[True, False])
    return {str(check): int(count) for check, count in counts.iter_rows()}


def _text(series: pl.Series) -> pl.Series:
    if isinstance(series.dtype, pl.Array):
        series = series.arr.to_list()
    if isinstance(series.dtype, pl.List):
        series = series.cast(pl.List(pl.String)).list.join(" ")
    return series.cast(pl.String)


def _damaged(file: Path, why: str) -> DataError:
    return DataError(f"The quarantine is damaged: {file}.", why=why,
                     fix="Prepare the file that it came from again.")  # fmt: skip
