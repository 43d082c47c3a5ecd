import datetime as dt
import json
import os
import random
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from crimeguard.domain.errors import CrimeGuardError, DataError
from crimeguard.ingest import snapshot as module
from crimeguard.ingest.frame import SCHEMA
from crimeguard.ingest.snapshot import Snapshot, write_snapshot

ID = "d9c735b2d8b3963d"


def incidents(rows: int = 120, **changes: Any) -> pl.DataFrame:
    rng = random.Random(5)
    first = dt.date(2022, 12, 15)
    data: dict[str, Any] = {
        "dr_no": [f"{230000000 + n}" for n in range(rows)],
        "date_occ": [first + dt.timedelta(days=rng.randrange(70)) for _ in range(rows)],
        "time_occ": [rng.choice([None, 1, 145, 1200, 2359]) for _ in range(rows)],
        "area": [rng.randrange(1, 22) for _ in range(rows)],
        "mocodes": [sorted(rng.sample([344, 1822, 2000], rng.randrange(4))) for _ in range(rows)],
        "vict_sex": [rng.choice([None, "F", "M"]) for _ in range(rows)],
        "lat": [rng.choice([None, 34.05, 34.1]) for _ in range(rows)],
        **changes,
    }
    return pl.DataFrame(data, schema={name: SCHEMA[name] for name in data})


def write(frame: pl.DataFrame, home: Path, **options: Any) -> Snapshot:
    return write_snapshot(frame, home, source="a test", **options)


def ordered(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sort("date_occ", "time_occ", "dr_no")


def test_what_is_written_is_read_again_in_order(tmp_path: Path) -> None:
    frame = incidents()
    kept = write(frame, tmp_path)
    again = Snapshot.load(tmp_path / "snapshots" / kept.id)
    assert again.id == kept.id
    assert again.rows == 120
    # The domain's order of columns, whatever the frame's was.
    assert again.columns == ("dr_no", "date_occ", "time_occ", "area", "mocodes", "vict_sex", "lat")
    assert again.frame().equals(ordered(frame).select(again.columns))


def test_there_is_one_partition_a_month(tmp_path: Path) -> None:
    frame = incidents()
    kept = write(frame, tmp_path)
    assert {file.name for file in kept.path.iterdir()} == {
        "manifest.json", "2022-12.parquet", "2023-01.parquet", "2023-02.parquet",
    }  # fmt: skip
    for part in kept.manifest["partitions"]:
        rows = pl.read_parquet(kept.path / f"{part['month']}.parquet")
        assert rows.height == part["rows"]
        assert set(rows["date_occ"].dt.strftime("%Y-%m")) == {part["month"]}


def test_the_manifest_describes_the_rows(tmp_path: Path) -> None:
    source = tmp_path / "rows.csv"
    source.write_bytes(b"incidents")
    frame = incidents().with_columns(date_rptd=pl.col("date_occ") + pl.duration(days=3))
    manifest = write(frame, tmp_path / "home", files=[source]).manifest
    assert manifest == json.loads(
        (tmp_path / "home" / "snapshots" / manifest["id"] / "manifest.json").read_text()
    )
    assert manifest["schema_version"] == 1
    assert manifest["source"] == "a test"
    assert [file["name"] for file in manifest["files"]] == ["rows.csv"]
    assert manifest["files"][0]["sha256"].startswith("a6d1765ab64d82a7")
    assert manifest["first_date_occ"] == str(frame["date_occ"].min())
    assert manifest["last_date_rptd"] == str(frame["date_rptd"].max())
    assert manifest["duplicates_removed"] == 0
    assert str(tmp_path) not in json.dumps(manifest)


def test_the_id_is_the_same_on_every_machine(tmp_path: Path) -> None:
    assert write(incidents(), tmp_path).id == ID


@pytest.mark.parametrize(
    "same",
    [
        lambda frame: frame.reverse(),
        lambda frame: frame.sample(fraction=1, shuffle=True, seed=3),
        lambda frame: frame.select(reversed(frame.columns)),
        lambda frame: pl.concat([frame.head(50), frame.tail(70)], rechunk=False),
        lambda frame: pl.concat([frame, frame.head(9)]),
    ],
    ids=["reversed", "shuffled", "columns", "chunks", "repeated"],
)
def test_the_same_rows_have_the_same_id(tmp_path: Path, same: Any) -> None:
    assert write(same(incidents()), tmp_path).id == ID


@pytest.mark.parametrize(
    "other",
    [
        lambda frame: frame.with_columns(area=pl.col("area").replace({3: 4})),
        lambda frame: frame.with_columns(vict_sex=pl.col("vict_sex").fill_null("X")),
        lambda frame: frame.head(119),
        lambda frame: frame.drop("lat"),
        lambda frame: frame.with_columns(vict_age=pl.lit(None, pl.Int32)),
        lambda frame: frame.with_columns(dr_no=pl.col("dr_no").str.replace("230000007", "7")),
    ],
    ids=["value", "blank", "row", "column gone", "column new", "number"],
)
def test_other_rows_have_another_id(tmp_path: Path, other: Any) -> None:
    assert write(other(incidents()), tmp_path).id != ID


def test_repeated_rows_are_removed_and_counted(tmp_path: Path) -> None:
    frame = incidents()
    kept = write(pl.concat([frame, frame.head(4), frame.head(2)]), tmp_path)
    assert kept.rows == 120
    assert kept.manifest["duplicates_removed"] == 6


def test_numbers_that_differ_in_their_zeros_are_two(tmp_path: Path) -> None:
    frame = incidents(4, dr_no=["7", "07", "A1", "B1"])
    kept = write(frame, tmp_path)
    assert (kept.rows, kept.manifest["duplicates_removed"]) == (4, 0)


def test_rows_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    frame = incidents()
    twin = frame.head(1).with_columns(area=pl.lit(99, pl.Int32))
    with pytest.raises(DataError, match=r"1 numbers stand for rows that contradict.*230000000"):
        # Each of the two also has an exact copy.
        write(pl.concat([frame, frame.head(1), twin, twin]), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("frame", "what"),
    [
        (incidents().drop("dr_no"), "not canonical"),
        (incidents().drop("date_occ"), "not canonical"),
        (incidents().with_columns(pl.col("area").cast(pl.String)), "not canonical.*area"),
        (incidents().rename({"area": "AREA"}), "not canonical.*AREA"),
        (incidents().clear(), "no rows"),
        (incidents(2, dr_no=["1", None]), "1 of 2 rows have no DR_NO"),
        (incidents(2, date_occ=[dt.date(2023, 1, 1), None]), "1 of 2 rows"),
    ],
    ids=["no number", "no date", "types", "names", "empty", "blank number", "blank date"],
)
def test_what_cannot_be_a_snapshot_is_refused(
    tmp_path: Path, frame: pl.DataFrame, what: str
) -> None:
    with pytest.raises(DataError, match=what):
        write(frame, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_second_write_touches_nothing(tmp_path: Path) -> None:
    kept = write(incidents(), tmp_path)
    before = {file: file.stat().st_mtime_ns for file in kept.path.iterdir()}
    told: list[int] = []
    again = write_snapshot(incidents(), tmp_path, source="elsewhere", on_progress=told.append)
    assert {file: file.stat().st_mtime_ns for file in again.path.iterdir()} == before
    assert again.manifest["source"] == "a test"
    assert told == []


def test_progress_counts_every_row(tmp_path: Path) -> None:
    told: list[int] = []
    write(incidents(), tmp_path, on_progress=told.append)
    assert len(told) == 3
    assert sum(told) == 120


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_write_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def interrupt(rows: int) -> None:
        raise error

    with pytest.raises(error):
        write(incidents(), tmp_path, on_progress=interrupt)
    assert not list((tmp_path / "snapshots").iterdir())


def test_a_full_disk_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: Path) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(module, "_flush", refuse)
    with pytest.raises(CrimeGuardError, match=r"cannot be written. No space left"):
        write(incidents(), tmp_path)
    assert not list((tmp_path / "snapshots").iterdir())


def test_a_state_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CrimeGuardError, match=r"cannot be written.*CRIMEGUARD_HOME"):
        write(incidents(), tmp_path / "file")


def test_another_process_may_be_faster(tmp_path: Path) -> None:
    def overtake(rows: int) -> None:
        if not (tmp_path / "snapshots" / ID).exists():
            write(incidents(), tmp_path)

    assert write(incidents(), tmp_path, on_progress=overtake).id == ID
    assert [file.name for file in (tmp_path / "snapshots").iterdir()] == [ID]


def test_what_a_killed_process_left_is_swept_later(tmp_path: Path) -> None:
    old, new = (tmp_path / "snapshots" / name for name in (".abc-old", ".abc-new"))
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old, (time.time() - 7200,) * 2)
    write(incidents(), tmp_path)
    assert not old.exists()
    assert new.exists()


@pytest.mark.parametrize(
    ("since", "until"),
    [
        (None, None),
        (dt.date(2023, 1, 10), None),
        (None, dt.date(2023, 1, 10)),
        (dt.date(2023, 1, 1), dt.date(2023, 1, 31)),
        (dt.date(2022, 12, 31), dt.date(2023, 1, 1)),
        (dt.date(2023, 2, 1), dt.date(2023, 2, 1)),
    ],
)
def test_a_span_includes_both_ends(
    tmp_path: Path, since: dt.date | None, until: dt.date | None
) -> None:
    kept = write(incidents(), tmp_path)
    wanted = ordered(incidents()).filter(
        pl.col("date_occ").is_between(since or dt.date.min, until or dt.date.max)
    )
    assert wanted.height
    assert kept.frame(since, until).equals(wanted.select(kept.columns))


def test_only_the_months_needed_are_opened(tmp_path: Path) -> None:
    kept = write(incidents(), tmp_path)
    (kept.path / "2022-12.parquet").unlink()
    (kept.path / "2023-02.parquet").write_bytes(b"")
    january = kept.frame(dt.date(2023, 1, 1), dt.date(2023, 1, 31))
    assert set(january["date_occ"].dt.month()) == {1}


def test_a_span_without_rows_keeps_the_columns(tmp_path: Path) -> None:
    kept = write(incidents(), tmp_path)
    empty = kept.frame(dt.date(2030, 1, 1))
    assert empty.height == 0
    assert empty.schema == kept.frame().schema


def edit(folder: Path, **changes: Any) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest.update(changes)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda path: flip(path / "2023-01.parquet"), "2023-01.parquet. Its sha256"),
        (lambda path: (path / "2023-01.parquet").write_bytes(b""), "2023-01.parquet. It has 0"),
        (lambda path: (path / "2023-02.parquet").unlink(), "2023-02.parquet. It is missing"),
        (lambda path: (path / "manifest.json").write_text("{"), "manifest.json"),
        (lambda path: (path / "manifest.json").write_text("[]"), "manifest.json. It lacks"),
        (lambda path: (path / "manifest.json").write_bytes(b"\xff"), "manifest.json"),
        (lambda path: edit(path, partitions=[]), "does not fit the partitions"),
        (lambda path: edit(path, partitions=[{}]), "not as written"),
        (lambda path: edit(path, partitions=[{"month": "../../x"}]), "not as written|missing"),
        (lambda path: edit(path, columns=["nothing"]), "not as written"),
        (lambda path: edit(path, rows=7), "rows"),
        (lambda path: edit(path, id="0" * 16), "does not fit"),
        (lambda path: (path / "manifest.json").unlink(), "is not a snapshot"),
        (lambda path: edit(path, schema_version=2), "schema 2"),
    ],
)
def test_damage_is_found_and_the_file_named(tmp_path: Path, damage: Any, what: str) -> None:
    path = write(incidents(), tmp_path).path
    damage(path)
    with pytest.raises(DataError, match=what) as refused:
        Snapshot.load(path)
    assert refused.value.fix


def test_a_folder_under_another_name_is_refused(tmp_path: Path) -> None:
    path = write(incidents(), tmp_path).path
    with pytest.raises(DataError, match=f"should be called {ID}"):
        Snapshot.load(path.rename(tmp_path / "other"))


def test_a_damaged_snapshot_is_not_taken_for_written(tmp_path: Path) -> None:
    flip(write(incidents(), tmp_path).path / "2023-01.parquet")
    with pytest.raises(DataError, match="damaged"):
        write(incidents(), tmp_path)


@pytest.mark.realdata
def test_the_real_rows_make_the_same_snapshot_in_any_order(tmp_path: Path, realdata: Path) -> None:
    from crimeguard.ingest.source import read_file

    frame = read_file(realdata / "la_2023q1.parquet").frame
    kept = write(frame, tmp_path / "a")
    mixed = write(frame.sample(fraction=1, shuffle=True, seed=1), tmp_path / "b")
    assert kept.id == mixed.id
    assert kept.rows == 40_903
    assert [part["month"] for part in kept.manifest["partitions"]] == [
        "2023-01", "2023-02", "2023-03", "2023-04",
    ]  # fmt: skip
    assert kept.frame().equals(ordered(frame).select(kept.columns))
