"""sha256 of files, and of what a frame says however it is stored."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import polars as pl

from crimeguard.domain.field import BY_NAME


def file_sha256(file: Path) -> str:
    """Return the sha256 of a file's bytes, in hexadecimal."""
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def content_sha256(frame: pl.DataFrame) -> str:
    """Return a sha256 of a canonical frame's names, kinds and values, in the order of its rows.

    It is of the values themselves, not of a file format or of text, so that neither a
    new version of Polars nor another machine changes it.
    """
    digest = hashlib.sha256()
    for series in frame:
        digest.update(f"{series.name}\0{BY_NAME[series.name].kind}\0{len(series)}\0".encode())
        _update(digest, series)
    return digest.hexdigest()


def _update(digest: hashlib._Hash, series: pl.Series) -> None:
    digest.update(np.packbits(series.is_null().to_numpy()).tobytes())
    if series.dtype == pl.List:
        digest.update(_bytes(series.list.len().fill_null(0), "<i8"))
        _update(digest, series.explode(empty_as_null=False, keep_nulls=False))
    elif series.dtype == pl.String:
        filled = series.fill_null("")
        digest.update(_bytes(filled.str.len_bytes(), "<i8"))
        digest.update(filled.str.join("").item().encode())
    elif series.dtype.is_float():
        # Adding 0.0 makes -0.0 and 0.0 the same.
        digest.update((series.fill_null(0.0).to_numpy() + 0.0).astype("<f8").data)
    else:
        digest.update(_bytes(series.to_physical().fill_null(0), "<i8"))


def _bytes(series: pl.Series, layout: str) -> memoryview:
    return series.to_numpy().astype(layout).data
