import datetime as dt
import hashlib
from pathlib import Path

import polars as pl
import pytest

from crimeguard.ingest.digest import content_sha256, file_sha256
from crimeguard.ingest.frame import SCHEMA


def frame(**changes: object) -> pl.DataFrame:
    data = {
        "dr_no": ["1", "22"], "date_occ": [dt.date(2023, 1, 2), dt.date(2023, 1, 3)],
        "area": [1, None], "lat": [34.0, None], "mocodes": [[344, 1822], []], **changes,
    }  # fmt: skip
    return pl.DataFrame(data, schema={name: SCHEMA[name] for name in data})


def test_the_digest_of_a_frame_never_changes() -> None:
    # A new value here means that every snapshot of the past gets another id.
    assert content_sha256(frame()) == GOLDEN


def test_it_depends_on_values_not_on_their_storage() -> None:
    chunked = pl.concat([frame().head(1), frame().tail(1)], rechunk=False)
    assert chunked.n_chunks() == 2
    assert content_sha256(chunked) == content_sha256(frame())
    sliced = pl.concat([frame(), frame()]).slice(2, 2)
    assert content_sha256(sliced) == content_sha256(frame())


@pytest.mark.parametrize(
    "change",
    [
        {"dr_no": ["12", "2"]},
        {"area": [1, 0]},
        {"area": [None, 1]},
        {"lat": [34.0, 0.0]},
        {"lat": [34.00000001, None]},
        {"mocodes": [[344], [1822]]},
        {"mocodes": [[344, 1822], None]},
        {"mocodes": [[], [344, 1822]]},
        {"date_occ": [dt.date(2023, 1, 2), dt.date(2023, 1, 4)]},
        {"vict_sex": [None, None]},
    ],
    ids=str,
)
def test_any_change_of_a_value_changes_it(change: dict[str, object]) -> None:
    assert content_sha256(frame(**change)) != GOLDEN


def test_text_may_hold_any_letter() -> None:
    assert content_sha256(frame(dr_no=["é", "\U0001f600\0"])) != GOLDEN


def test_both_zeros_are_the_same() -> None:
    assert content_sha256(frame(lat=[0.0, 1.0])) == content_sha256(frame(lat=[-0.0, 1.0]))


def test_a_files_digest_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"incidents")
    assert file_sha256(tmp_path / "x") == hashlib.sha256(b"incidents").hexdigest()


GOLDEN = "58dec0629cb5c99d7b83111203c85828c4bad05012462d2cee1bba838e925975"
