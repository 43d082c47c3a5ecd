from __future__ import annotations

from pathlib import Path

import pytest

from crimeguard.domain.errors import CrimeGuardError
from crimeguard.ingest.kept import Kept, as_text

COLUMNS = (":id", "name")


def page(*names: str) -> list[dict[str, str]]:
    return [{":id": f"row-{name}", "name": name} for name in names]


def test_pages_are_there_again_in_the_next_process(tmp_path: Path) -> None:
    with Kept.opened(tmp_path, COLUMNS) as kept:
        kept.begin("", "t1")
        kept.add(page("a", "b"))
    with Kept.opened(tmp_path, COLUMNS) as kept:
        assert (kept.rows, kept.lost) == (2, 0)
        assert kept.rounds[-1].after == "row-b"
        assert not kept.rounds[-1].done
        kept.add(page("c"))
        kept.end()
        kept.begin("t1", "t2")
        kept.add([{":id": "row-a", "name": "changed"}])
        assert kept.rows == 4
        assert kept.ids() == {"row-a", "row-b", "row-c"}
        assert sorted(kept.table()["name"]) == ["b", "c", "changed"]


def test_settling_leaves_one_file_and_the_last_change(tmp_path: Path) -> None:
    with Kept.opened(tmp_path, COLUMNS) as kept:
        kept.begin("", "t1")
        kept.add(page("a", "b"))
        kept.end()
        kept.begin("t1", "t2")
        kept.add(page("c"))
        table = kept.settle(without=["row-b"], rows=page("d"))
        assert sorted(table["name"]) == ["a", "c", "d"]
    with Kept.opened(tmp_path, COLUMNS) as kept:
        assert kept.files == 1
        assert kept.rounds[0].newest == "t2"
        assert sorted(kept.table()["name"]) == ["a", "c", "d"]
    assert len(list(tmp_path.glob("*.parquet"))) == 1


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    with Kept.opened(tmp_path, COLUMNS) as kept:
        kept.begin("", "t1")
        kept.add(page("a"))
    (tmp_path / "000002.parquet").write_bytes(b"no state names it")
    (tmp_path / ".000002.parquet.x8d").write_bytes(b"half")
    with Kept.opened(tmp_path, COLUMNS) as kept:
        assert kept.rows == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "000001.parquet", "lock", "state.json",
    ]  # fmt: skip


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_file_is_lost_with_all_behind_it(tmp_path: Path, damage: str) -> None:
    with Kept.opened(tmp_path, COLUMNS) as kept:
        kept.begin("", "t1")
        for name in "abc":
            kept.add(page(name))
        kept.end()
        kept.begin("t1", "t2")
        kept.add(page("d"))
    file = tmp_path / "000002.parquet"
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1])
    with Kept.opened(tmp_path, COLUMNS) as kept:
        assert (kept.rows, kept.lost, len(kept.rounds)) == (1, 3, 1)
        assert not kept.rounds[0].done
        assert kept.rounds[0].newest == "t1"
    assert [path.name for path in tmp_path.glob("*.parquet")] == ["000001.parquet"]


@pytest.mark.parametrize("state", ["{", "[]", '{"version": 0}', '{"version": 1, "columns": []}'])
def test_a_state_that_cannot_be_used_is_begun_anew(tmp_path: Path, state: str) -> None:
    with Kept.opened(tmp_path, COLUMNS) as kept:
        kept.begin("", "t1")
        kept.add(page("a"))
    (tmp_path / "state.json").write_text(state)
    with Kept.opened(tmp_path, COLUMNS) as kept:
        assert kept.rows == 0
        assert kept.rounds == []


def test_one_process_has_it_at_a_time(tmp_path: Path) -> None:
    with (
        Kept.opened(tmp_path, COLUMNS),
        pytest.raises(CrimeGuardError, match="another process"),
        Kept.opened(tmp_path, COLUMNS),
    ):
        pytest.fail("two have it")
    with Kept.opened(tmp_path, COLUMNS) as kept:
        assert kept.rows == 0


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(CrimeGuardError, match="cannot be written"),
        Kept.opened(tmp_path / "file" / "in", COLUMNS),
    ):
        pytest.fail("it was opened")


def test_json_becomes_text() -> None:
    rows = [{":id": "1", "a": 5, "b": True, "c": None}, {":id": "2", "a": 1.5, "b": "x"}]
    table = as_text(rows, (":id", "a", "b", "c"))
    assert table.rows() == [("1", "5", "true", None), ("2", "1.5", "x", None)]
