from __future__ import annotations

import gzip
import io
from functools import cache

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crimeguard.ingest.simulator import simulate
from crimeguard.ingest.source import SUFFIXES
from crimeguard.serve.problem import BAD_FILE, TOO_LARGE, WRONG_TYPE
from crimeguard.serve.upload import SUFFIX_OF_TYPE, file_name, read_upload
from tests.contract.fuzzing import damaged, fuzz, refused

MOST_BYTES, MOST_ROWS = 100_000, 50


@cache
def whole(suffix: str, rows: int = 3) -> bytes:
    """Return a file of incidents that is right."""
    frame, content = pl.concat(simulate(rows, seed=3)), io.BytesIO()
    if suffix == ".parquet":
        frame.write_parquet(content)
    elif suffix == ".arrow":
        frame.write_ipc(content)
    elif suffix == ".arrows":
        frame.write_ipc_stream(content)
    else:
        frame.write_csv(content)
    found = content.getvalue()
    return gzip.compress(found, 1, mtime=0) if suffix.endswith(".gz") else found


def read(content: bytes, suffix: str) -> None:
    read_upload(content, f"upload{suffix}", most_bytes=MOST_BYTES, most_rows=MOST_ROWS, level=None)


@pytest.mark.parametrize("suffix", sorted(set(SUFFIX_OF_TYPE.values())))
def test_damaged_files_are_read_or_refused(suffix: str) -> None:
    assert refused(lambda: read(whole(suffix), suffix)) is None

    @fuzz(120)
    @given(damaged(st.just(whole(suffix))) | st.binary(max_size=80))
    def check(content: bytes) -> None:
        problem = refused(lambda: read(content, suffix))
        assert problem is None or problem.kind in (BAD_FILE, TOO_LARGE)

    check()


@fuzz(100)
@given(damaged(st.just(whole(".csv"))))
def test_what_was_wrong_before_packing_is_wrong_behind_it(content: bytes) -> None:
    plain = refused(lambda: read(content, ".csv"))
    packed = refused(lambda: read(gzip.compress(content, 1), ".csv.gz"))
    assert (plain is None) is (packed is None)
    if plain is not None and packed is not None:
        assert plain.flaws == packed.flaws


@fuzz(200)
@given(st.text(max_size=120), st.sampled_from(["", "text/csv", "image/png", *SUFFIX_OF_TYPE]))
def test_a_file_gets_a_harmless_name_or_none(given_name: str, kind: str) -> None:
    problem = refused(lambda: file_name(given_name, kind))
    if problem is not None:
        assert problem.kind is WRONG_TYPE
        return
    name = file_name(given_name, kind)
    assert name.lower().endswith(SUFFIXES)
    assert name.isprintable()
    assert "/" not in name
    assert len(name) <= 80
