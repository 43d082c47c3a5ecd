import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from crimeguard.domain.errors import CrimeGuardError, DataError
from crimeguard.ingest.quarantine import FAULTS, Origin, quarantines, together, write_quarantine
from tests.ingest.test_snapshot import incidents, write

ID = "0123456789abcdef"


def faults(*lines: tuple[int, str, str]) -> pl.DataFrame:
    return pl.DataFrame(list(lines), schema=FAULTS, orient="row")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text('A,LOCATION,"odd, heading"\n1, padded ,x\n2,,"a ""quote"""\n3,z,\n')
    return path


def test_rows_are_kept_as_they_came_with_every_reason(file: Path, tmp_path: Path) -> None:
    found = faults((2, "b", "two"), (0, "a", "one"), (0, "b", "three"), (0, "b", "four"))
    assert write_quarantine(found, tmp_path, ID, lambda: Origin.of_file(file), rows_in=3) == 2
    (kept,) = quarantines(tmp_path, ID)
    assert kept.scan().collect().to_dicts() == [
        {"row": 1, "checks": ["a", "b"], "reasons": ["one", "three", "four"],
         "came": {"A": "1", "LOCATION": " padded ", "odd, heading": "x"}},
        {"row": 3, "checks": ["b"], "reasons": ["two"],
         "came": {"A": "3", "LOCATION": "z", "odd, heading": None}},
    ]  # fmt: skip
    assert (kept.rows, kept.rows_in, kept.source) == (2, 3, "rows.csv")
    assert together([kept, kept]) == {"b": 4, "a": 2}
    table = kept.table()
    assert table.columns == [
        "crimeguard_row", "crimeguard_checks", "crimeguard_reasons", "A", "LOCATION",
        "odd, heading",
    ]  # fmt: skip
    assert table.row(0) == ("1", "a; b", "one; three; four", "1", " padded ", "x")


def test_a_quarantine_that_came_back_gives_its_old_reasons_up_in_the_csv(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("crimeguard_row,A,crimeguard_reasons\n7,1,old\n")
    write_quarantine(faults((0, "a", "new")), tmp_path, ID, lambda: Origin.of_file(file), rows_in=1)
    (kept,) = quarantines(tmp_path, ID)
    assert kept.table().to_dicts() == [
        {"crimeguard_row": "1", "crimeguard_checks": "a", "crimeguard_reasons": "new", "A": "1"}
    ]
    assert kept.scan().collect()["came"][0]["crimeguard_reasons"] == "old"


def test_typed_rows_become_text_in_the_csv_only(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    pl.DataFrame({"mo": [[344, 1822]], "day": [dt.date(2023, 1, 2)], "lat": [34.05]}).write_parquet(
        file
    )
    write_quarantine(faults((0, "a", "x")), tmp_path, ID, lambda: Origin.of_file(file), rows_in=1)
    (kept,) = quarantines(tmp_path, ID)
    assert kept.table().row(0)[3:] == ("344 1822", "2023-01-02", "34.05")
    assert kept.scan().collect()["came"][0] == {
        "mo": [344, 1822], "day": dt.date(2023, 1, 2), "lat": 34.05,
    }  # fmt: skip


def test_rows_may_come_from_elsewhere_than_a_file(tmp_path: Path) -> None:
    pages = pl.DataFrame({"id": ["a", "b"]})
    origin = Origin("la-2020", "f" * 64, lambda: pages)
    write_quarantine(faults((1, "a", "x")), tmp_path, ID, lambda: origin, rows_in=2)
    (kept,) = quarantines(tmp_path, ID)
    assert (kept.source, kept.path.name) == ("la-2020", f"{'f' * 16}.parquet")
    assert kept.scan().collect()["came"][0] == {"id": "b"}


def test_without_faults_there_is_no_quarantine(file: Path, tmp_path: Path) -> None:
    assert write_quarantine(faults(), tmp_path, ID, lambda: Origin.of_file(file), rows_in=3) == 0
    assert quarantines(tmp_path, ID) == []
    assert not (tmp_path / "quarantine").exists()


def test_a_file_that_grew_meanwhile_is_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has changed while it was read"):
        write_quarantine(
            faults((0, "a", "x")), tmp_path, ID, lambda: Origin.of_file(file), rows_in=2
        )
    assert not (tmp_path / "quarantine").exists()


def test_damage_is_found(file: Path, tmp_path: Path) -> None:
    write_quarantine(faults((0, "a", "x")), tmp_path, ID, lambda: Origin.of_file(file), rows_in=3)
    (kept,) = quarantines(tmp_path, ID)
    content = bytearray(kept.path.read_bytes())
    content[len(content) // 2] ^= 1
    kept.path.write_bytes(content)
    with pytest.raises(DataError, match=r"quarantine is damaged.*sha256"):
        quarantines(tmp_path, ID)
    kept.path.unlink()
    with pytest.raises(DataError, match="quarantine is damaged"):
        quarantines(tmp_path, ID)
    for text in ("{", "[]", '{"schema_version": 2}'):
        kept.path.with_suffix(".json").write_text(text)
        with pytest.raises(DataError, match="quarantine is damaged"):
            quarantines(tmp_path, ID)


def test_a_row_that_is_nowhere_stops_the_snapshot(tmp_path: Path) -> None:
    frame = incidents()
    kept = write(frame, tmp_path / "a", rows_in=123, aside=lambda name: 3)
    assert (kept.manifest["rows_in"], kept.manifest["quarantined"]) == (123, 3)
    for came in (122, 124):
        with pytest.raises(CrimeGuardError, match=f"{came} rows came, 123 are accounted for"):
            write(frame, tmp_path / "b", rows_in=came, aside=lambda name: 3)
    assert not (tmp_path / "b" / "snapshots").exists()
    # Also when the same snapshot is there already.
    with pytest.raises(CrimeGuardError, match="accounted for"):
        write(frame, tmp_path / "a", rows_in=121)


def test_the_rows_are_aside_before_the_snapshot_is_there(tmp_path: Path) -> None:
    seen = []

    def aside(name: str) -> int:
        seen.append((name, (tmp_path / "snapshots" / name).exists()))
        return 0

    kept = write(incidents(), tmp_path, aside=aside)
    assert seen == [(kept.id, False)]
