from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crimeguard.domain.errors import DataError, PortalError
from crimeguard.ingest.kept import Kept
from crimeguard.ingest.pull import Pulled, folder_of, pull, trial
from crimeguard.ingest.soda import Query, Soda
from tests.ingest.killing import exact, killed_pulls
from tests.ingest.soda_server import Dataset, Portal, serving

ID = "abcd-1234"
COLUMNS = ["name", "date"]
QUERY = Query(ID, (":id", ":updated_at", *COLUMNS))
N = 95


@pytest.fixture
def portal() -> Iterator[Portal]:
    rows = [{"name": f"n{i}", "date": f"2024-01-{1 + i % 28:02d}T00:00:00.000"} for i in range(N)]
    with serving(Portal(ID, Dataset.of(rows, COLUMNS))) as served:
        yield served


def fetch(portal: Portal, folder: Path, query: Query = QUERY, page_rows: int = 10) -> Pulled:
    quick = Soda(portal.address, sleep=lambda _: None)
    with quick as soda, Kept.opened(folder, query.columns) as kept:
        return pull(soda, query, kept, lambda *_: None, page_rows)


def test_a_pull_holds_exactly_the_portals_rows(portal: Portal, tmp_path: Path) -> None:
    """Where nothing goes wrong no alarm is raised, and no row is asked for twice."""
    shown: list[tuple[str, int, int]] = []
    restless = Soda(portal.address, sleep=lambda _: pytest.fail("it paused"))
    with restless as soda, Kept.opened(tmp_path, QUERY.columns) as kept:
        pulled = pull(soda, QUERY, kept, lambda *step: shown.append(step), 10)
    assert exact(pulled.table, portal.data)
    assert (pulled.fetched, pulled.deleted) == (N, 0)
    assert shown[0] == ("pull", 0, N)
    assert shown[-1] == ("pull", N, N)
    conditions = [request.get("$where", "") for request in portal.requests]
    asked = [condition for condition in conditions if ":id >" in condition]
    assert len(asked) == len(set(asked)) == 9


def test_the_next_pull_fetches_what_changed_only(portal: Portal, tmp_path: Path) -> None:
    fetch(portal, tmp_path)
    ids = portal.data.ids()
    portal.data.change(ids[3], name="another")
    portal.data.insert({"name": "new"}, place=1)
    pulled = fetch(portal, tmp_path)
    assert exact(pulled.table, portal.data)
    assert (pulled.fetched, pulled.deleted) == (2, 0)
    assert fetch(portal, tmp_path).fetched == 0


def test_deleted_rows_disappear(portal: Portal, tmp_path: Path) -> None:
    fetch(portal, tmp_path)
    ids = portal.data.ids()
    for identifier in (ids[0], ids[50], ids[-1]):
        portal.data.delete(identifier)
    portal.data.insert({"name": "new"})
    pulled = fetch(portal, tmp_path)
    assert exact(pulled.table, portal.data)
    assert (pulled.fetched, pulled.deleted) == (1, 3)


def test_rows_that_change_between_pages_end_as_they_are(portal: Portal, tmp_path: Path) -> None:
    def disturb(number: int) -> None:
        ids = portal.data.ids()
        if number == 5:  # a row that was fetched, one that was not, and one before the place
            portal.data.change(ids[1], name="early")
            portal.data.change(ids[-1], name="late")
            portal.data.insert({"name": "behind"}, place=3)
        elif number == 7:  # a row that was fetched, and the one that the next page begins behind
            portal.data.delete(ids[5])
            last = portal.requests[-1]["$where"].split("'")[1]
            portal.data.delete(last)

    portal.before = disturb
    pulled = fetch(portal, tmp_path)
    assert exact(pulled.table, portal.data)
    assert {"early", "late", "behind"} <= set(pulled.table["name"])
    assert pulled.deleted == 2


def test_a_row_that_came_in_without_a_new_date_is_found(portal: Portal, tmp_path: Path) -> None:
    fetch(portal, tmp_path)
    identifier = portal.data.insert({"name": "backdated"}, place=5)
    row = portal.data.rows[portal.data.places[identifier]]
    row[":updated_at"] = "2020-01-01T00:00:00.000Z"
    pulled = fetch(portal, tmp_path)
    assert exact(pulled.table, portal.data)


def test_a_count_that_is_wrong_is_an_error_that_says_what_to_do(
    portal: Portal, tmp_path: Path
) -> None:
    portal.wrong_count = 4
    with pytest.raises(PortalError, match=r"counts 99 rows of abcd-1234, but gives 95") as found:
        fetch(portal, tmp_path)
    assert "--fresh" in found.value.fix
    portal.wrong_count = 0
    pulled = fetch(portal, tmp_path)
    assert pulled.fetched == 0
    assert exact(pulled.table, portal.data)


def test_a_column_that_is_gone_is_named(portal: Portal, tmp_path: Path) -> None:
    portal.data.columns = ["title", "date"]
    with pytest.raises(DataError, match="have changed: name is gone") as found:
        fetch(portal, tmp_path)
    assert "title" in found.value.why


def test_a_column_that_goes_in_the_middle_of_a_pull_is_named(
    portal: Portal, tmp_path: Path
) -> None:
    portal.before = lambda number: portal.data.columns.remove("name") if number == 6 else None
    with pytest.raises(DataError, match="have changed: name is gone"):
        fetch(portal, tmp_path)


def test_a_column_that_is_new_changes_nothing(portal: Portal, tmp_path: Path) -> None:
    portal.data.columns = [*COLUMNS, "more"]
    assert exact(fetch(portal, tmp_path).table, portal.data)


def test_a_pull_that_broke_off_goes_on_where_it_was(portal: Portal, tmp_path: Path) -> None:
    portal.faults = dict.fromkeys(range(8, 100), "503")
    with pytest.raises(PortalError, match="does not answer"):
        fetch(portal, tmp_path)
    portal.faults = {}
    pulled = fetch(portal, tmp_path)
    assert exact(pulled.table, portal.data)
    assert 0 < pulled.fetched < N


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_page_is_fetched_again(portal: Portal, tmp_path: Path, damage: str) -> None:
    portal.faults = dict.fromkeys(range(9, 100), "503")
    with pytest.raises(PortalError):
        fetch(portal, tmp_path)
    file = sorted(tmp_path.glob("*.parquet"))[1]
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-9])
    portal.faults = {}
    with Kept.opened(tmp_path, QUERY.columns) as kept:
        assert kept.rows == 10
        assert kept.lost > 0
    assert exact(fetch(portal, tmp_path).table, portal.data)


def test_some_rows_are_reconciled_with_some_rows(portal: Portal, tmp_path: Path) -> None:
    query = Query(ID, QUERY.columns, "date >= '2024-01-20T00:00:00'")
    pulled = fetch(portal, tmp_path, query)
    assert 0 < pulled.table.height < N
    late = [row for row in portal.data.content() if row["date"] >= "2024-01-20"]
    assert sorted(pulled.table[":id"]) == [row[":id"] for row in late]
    portal.data.change(late[0][":id"], date="2024-01-01T00:00:00.000")
    assert fetch(portal, tmp_path, query).deleted == 1
    others = {folder_of(tmp_path, "s", portal.address, one) for one in (QUERY, query)}
    assert len(others) == 2


def test_no_rows_at_all_are_no_error(tmp_path: Path) -> None:
    with serving(Portal(ID, Dataset(list(COLUMNS)))) as empty:
        assert fetch(empty, tmp_path).table.is_empty()
        empty.data.insert({"name": "first"})
        assert exact(fetch(empty, tmp_path).table, empty.data)


def test_a_trial_keeps_nothing(portal: Portal, tmp_path: Path) -> None:
    with Soda(portal.address) as soda:
        pulled = trial(soda, QUERY, 7, lambda *_: None)
    assert pulled.table["name"].to_list() == [f"n{i}" for i in range(7)]
    assert not list(tmp_path.iterdir())


def test_killed_five_times_it_ends_with_exactly_the_portals_rows(tmp_path: Path) -> None:
    """`benchmarks/pull.py` does the same fifty times."""
    found = killed_pulls(tmp_path, kills=5, rows=2_000, page_rows=50, spread=8, seed=3)
    assert found.kills == 5
    assert found.exact
    assert found.disturbed > 0
    assert found.fetched_twice < found.rows
