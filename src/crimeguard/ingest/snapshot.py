"""Snapshots: immutable sets of monthly Parquet partitions, named by their content."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from crimeguard.cores import cores
from crimeguard.domain.errors import CrimeGuardError, DataError
from crimeguard.domain.field import FIELDS
from crimeguard.ingest.digest import content_sha256, file_sha256
from crimeguard.ingest.frame import SCHEMA
from crimeguard.ingest.manifest import (
    MANIFEST,
    SCHEMA_VERSION,
    content_of,
    damaged,
    read_manifest,
    verify_partition,
)

_ORDER: Final = ("date_occ", "time_occ", "dr_no")
_ZSTD_LEVEL: Final = 1  # the usual 3 takes a sixth to a third longer, for a twentieth of the size
_ID_LENGTH: Final = 16  # hexadecimal digits: 64 bits
_STALE_SECONDS: Final = 3600
OnProgress = Callable[[int], None]
# Puts rows that are not to be kept beside the snapshot of this id; returns how many.
Aside = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A verified snapshot on disk; its id depends on its rows and columns only."""

    path: Path
    manifest: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> Snapshot:
        """Open a snapshot's folder; DataError names the first file that is not as written."""
        manifest = read_manifest(path)
        try:
            for part in manifest["partitions"]:
                verify_partition(path / f"{part['month']}.parquet", part)
            expected = content_of(manifest["columns"], manifest["partitions"])
        except (KeyError, TypeError, AttributeError):
            raise damaged(path / MANIFEST, "Its entries are not as written.") from None
        if manifest["content_sha256"] != expected or manifest["id"] != expected[:_ID_LENGTH]:
            raise damaged(path / MANIFEST, "The id does not fit the partitions that it lists.")
        if manifest["rows"] != sum(part["rows"] for part in manifest["partitions"]):
            raise damaged(path / MANIFEST, "Its number of rows is not that of the partitions.")
        if path.resolve().name != manifest["id"]:
            raise damaged(path, f"The folder should be called {manifest['id']}.")
        return cls(path, manifest)

    @property
    def id(self) -> str:
        """The first 16 hexadecimal digits of the content's sha256."""
        return str(self.manifest["id"])

    @property
    def rows(self) -> int:
        """Number of incidents."""
        return int(self.manifest["rows"])

    @property
    def columns(self) -> tuple[str, ...]:
        """Canonical names of the columns, in the domain's order."""
        return tuple(self.manifest["columns"])

    def scan(self, since: dt.date | None = None, until: dt.date | None = None) -> pl.LazyFrame:
        """Return incidents that occurred from `since` to `until`, both included, lazily.

        Only the months between the two are opened. Rows are in the order of date, time
        and number.
        """
        wanted = [
            self.path / f"{part['month']}.parquet"
            for part in self.manifest["partitions"]
            if (since is None or part["month"] >= f"{since:%Y-%m}")
            and (until is None or part["month"] <= f"{until:%Y-%m}")
        ]
        if not wanted:
            return pl.LazyFrame(schema={name: SCHEMA[name] for name in self.columns})
        # Rows of the first and last month may lie outside.
        within = pl.lit(value=True)
        if since is not None:
            within &= pl.col("date_occ") >= since
        if until is not None:
            within &= pl.col("date_occ") <= until
        return pl.scan_parquet(wanted, glob=False).filter(within)

    def frame(self, since: dt.date | None = None, until: dt.date | None = None) -> pl.DataFrame:
        """Read what `scan` describes."""
        return self.scan(since, until).collect()


def write_snapshot(
    frame: pl.DataFrame,
    home: Path,
    *,
    source: str,
    files: Sequence[Path] = (),
    on_progress: OnProgress | None = None,
    rows_in: int | None = None,
    aside: Aside | None = None,
) -> Snapshot:
    """Write a canonical frame as a snapshot under `home`/snapshots, or find it there.

    Parameters
    ----------
    frame : polars.DataFrame
        Canonical incidents; `dr_no` and `date_occ` in every row.
    home : pathlib.Path
        The state folder (CRIMEGUARD_HOME).
    source : str
        Where the rows come from, in words, for the manifest.
    files : sequence of pathlib.Path
        The files they were read from; name and sha256 go into the manifest.
    on_progress : callable, optional
        Called with the number of rows of each partition that is written.
    rows_in : int, optional
        Rows that came, those in quarantine too; by default those of the frame.
    aside : callable, optional
        Called with the snapshot's id before it is there: a process that is killed in
        between loses no row.

    Raises
    ------
    DataError
        If the frame is not canonical, is empty, lacks a number or date, or if two rows
        with the same number contradict each other. Nothing is written then.
    CrimeGuardError
        If a row that came is neither kept, nor in quarantine, nor a repeated one.
    """
    clean, duplicates = _deduplicated(_require_canonical(frame))
    with ThreadPoolExecutor(1) as beside:
        hashed = beside.map(file_sha256, files)
        parts = _partitions(clean)
    described = [
        {"month": month, "rows": part.height, "content_sha256": digest}
        for month, part, digest in parts
    ]
    content = content_of(clean.columns, described)
    quarantined = aside(content[:_ID_LENGTH]) if aside else 0
    came = frame.height if rows_in is None else rows_in
    _require_whole(came, clean.height, quarantined, duplicates)
    target = home / "snapshots" / content[:_ID_LENGTH]
    if target.exists():
        return _existing(target, content)
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "id": content[:_ID_LENGTH],
        "content_sha256": content,
        "source": source,
        "files": [
            {"name": file.name, "sha256": digest}
            for file, digest in zip(files, hashed, strict=True)
        ],
        "rows": clean.height,
        "rows_in": came,
        "duplicates_removed": duplicates,
        "quarantined": quarantined,
        "columns": clean.columns,
        **_span(clean),
        "partitions": described,
    }
    _write_atomically(target, manifest, [part for _, part, _ in parts], on_progress)
    return _existing(target, content)


def _require_canonical(frame: pl.DataFrame) -> pl.DataFrame:
    wrong = [name for name, dtype in frame.schema.items() if SCHEMA.get(name) != dtype]
    if wrong or not {"dr_no", "date_occ"} <= set(frame.columns):
        raise DataError(
            "These are not canonical incidents.",
            why=f"Of another name or type: {', '.join(wrong[:5])}." if wrong
            else "DR_NO or DATE OCC is missing.",
            fix="Give an export with DR_NO, read by CrimeGuard.",
        )  # fmt: skip
    if not frame.height:
        raise DataError("There are no rows to keep.", fix="Give a file with incidents.")
    blank = frame.select(n=pl.any_horizontal(pl.col("dr_no", "date_occ").is_null()).sum()).item()
    if blank:
        raise DataError(f"{blank:,} of {frame.height:,} rows have no DR_NO or no DATE OCC.",
                        fix="Run `crimeguard validate` on the file to see them.")  # fmt: skip
    return frame.select(item.name for item in FIELDS if item.name in frame.columns)


def _deduplicated(frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Remove rows that repeat another in every field; rows that contradict are an error."""
    # Numbers are counted five times sooner than texts; texts that differ may be one number.
    if frame["dr_no"].cast(pl.Int64, strict=False).n_unique() == frame.height:
        return frame, 0
    again = frame["dr_no"].is_duplicated()
    if not again.any():
        return frame, 0
    repeated = frame.filter(again)
    kept = repeated.unique()
    torn = kept.filter(kept["dr_no"].is_duplicated())["dr_no"].unique().sort()
    if len(torn):
        raise DataError(
            f"{len(torn):,} numbers stand for rows that contradict each other.",
            why=f"DR_NO {', '.join(torn.head(5))}{' and others' if len(torn) > 5 else ''}.",
            fix="Keep the right row of each; `crimeguard validate` shows them.",
        )
    return pl.concat([frame.filter(~again), kept]), repeated.height - kept.height


def _partitions(frame: pl.DataFrame) -> list[tuple[str, pl.DataFrame, str]]:
    """Cut a frame into months, in their order: the month, its rows sorted, their digest."""
    order = [name for name in _ORDER if name in frame.columns]
    by_month = frame.with_columns(_month=pl.col("date_occ").dt.month_start()).partition_by(
        "_month", as_dict=True, include_key=False
    )  # fmt: skip

    def of(month: dt.date) -> tuple[str, pl.DataFrame, str]:
        part = by_month.pop((month,)).sort(order)
        return f"{month:%Y-%m}", part, content_sha256(part)

    # One after the other: a digest is many short calls, and two threads wait for each other.
    return [of(month) for month in sorted(month for (month,) in by_month)]


def _span(frame: pl.DataFrame) -> dict[str, str | None]:
    span: dict[str, str | None] = {}
    for name in ("date_occ", "date_rptd"):
        days = frame[name] if name in frame.columns else pl.Series(dtype=pl.Date)
        span[f"first_{name}"], span[f"last_{name}"] = (
            day.isoformat() if isinstance(day, dt.date) else None
            for day in (days.min(), days.max())
        )
    return span


def _write_atomically(
    target: Path,
    manifest: dict[str, Any],
    parts: Sequence[pl.DataFrame],
    on_progress: OnProgress | None,
) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target.parent)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise _unwritable(target, error) from None
    try:
        _write_parts(work, manifest["partitions"], parts, on_progress)
        (work / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        _flush(work / MANIFEST)
        work.chmod(0o755)
        try:
            work.replace(target)
        except OSError:
            if not target.exists():  # else another process was faster with the same content
                raise
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write_parts(
    work: Path,
    described: Sequence[dict[str, Any]],
    parts: Sequence[pl.DataFrame],
    on_progress: OnProgress | None,
) -> None:
    """Write the partitions, a core each, and complete their entries in the manifest."""

    def write(entry: dict[str, Any], part: pl.DataFrame) -> int:
        file = work / f"{entry['month']}.parquet"
        part.write_parquet(file, compression="zstd", compression_level=_ZSTD_LEVEL)
        entry |= {"bytes": file.stat().st_size, "sha256": file_sha256(file)}
        _flush(file)
        return part.height

    with ThreadPoolExecutor(cores()) as pool:
        try:
            for rows in pool.map(write, described, parts):
                if on_progress:
                    on_progress(rows)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _unwritable(target: Path, error: OSError) -> CrimeGuardError:
    return CrimeGuardError(f"The snapshot {target} cannot be written.", why=f"{error.strerror}.",
                           fix="Free space, or set CRIMEGUARD_HOME to a folder that you may "
                           "write to.")  # fmt: skip


def _flush(file: Path) -> None:
    with file.open("rb") as handle:
        os.fsync(handle.fileno())


def _sweep(folder: Path) -> None:
    """Remove what a killed process left behind; a live one is never an hour old."""
    for leftover in folder.glob(".*-*"):
        if time.time() - leftover.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(leftover, ignore_errors=True)


def _existing(target: Path, content: str) -> Snapshot:
    snapshot = Snapshot.load(target)
    if snapshot.manifest["content_sha256"] != content:  # pragma: no cover - one in 2**64
        raise DataError(f"{target} holds other rows.", fix="Use another CRIMEGUARD_HOME.")
    return snapshot


def _require_whole(came: int, kept: int, quarantined: int, duplicates: int) -> None:
    if came != kept + quarantined + duplicates:
        raise CrimeGuardError(
            f"{came:,} rows came, {kept + quarantined + duplicates:,} are accounted for.",
            why=f"{kept:,} kept, {quarantined:,} in quarantine, {duplicates:,} repeated.",
            fix="Nothing was stored. This is an error of CrimeGuard: please report it.",
        )
