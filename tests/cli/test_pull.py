from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from crimeguard.ingest.portals import PORTALS
from crimeguard.ingest.snapshot import Snapshot
from tests.cli.world import Done, crimeguard, refused
from tests.ingest import portal_rows
from tests.ingest.soda_server import Dataset, Portal, Row, serving


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CRIMEGUARD_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@contextmanager
def portal(name: str, rows: list[Row], patch: pytest.MonkeyPatch) -> Iterator[Portal]:
    source = PORTALS[name]
    with serving(Portal(source.dataset, Dataset.of(rows, list(source.columns)))) as served:
        patch.setenv("CRIMEGUARD_SODA_URL", served.address)
        yield served


def told(done: Done) -> dict[str, Any]:
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def test_rows_of_los_angeles_become_a_snapshot_and_then_only_changes_are_fetched(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = portal_rows.los_angeles(600)
    with portal("la-2020", rows, monkeypatch) as served:
        found = told(crimeguard("pull", "--source", "la-2020", "--page-rows", 100, "--json"))
        assert (found["rows"], found["fetched_now"], found["deleted_by_portal"]) == (600, 600, 0)
        snapshot = Snapshot.load(Path(found["path"]))
        assert snapshot.manifest["source"] == "la-2020 (2nrs-mtv8 of data.lacity.org)"
        assert "city" not in snapshot.columns
        served.data.delete(served.data.ids()[0])
        served.data.change(served.data.ids()[5], time_occ="1111")
        again = crimeguard("pull", "--source", "la-2020")
        assert again.code == 0
        assert again.out == ""
        assert "599 incidents" in again.err
        assert "(1 rows fetched now, 1 deleted by the portal)" in again.err
    assert len(list((state / "pulls").iterdir())) == 1


def test_offences_of_the_new_coding_become_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    with portal("la-nibrs", portal_rows.nibrs(400), monkeypatch) as served:
        found = told(crimeguard("pull", "--source", "la-nibrs", "--json"))
        assert found["rows"] == 400
        assert found["pulled_rows"] == len(served.data.rows) > 400
        assert "cases, each known by its gravest" in found["remarks"][0]
        assert "MO codes" in found["lacks"]
        frame = Snapshot.load(Path(found["path"])).frame()
        assert frame["offense"].str.starts_with("nibrs:").all()
        some = told(crimeguard("pull", "--source", "la-nibrs", "--since", "2023-02-01", "--json"))
        assert 0 < some["rows"] < 400
        source = Snapshot.load(Path(some["path"])).manifest["source"]
        assert source.endswith("data.lacity.org), since 2023-02-01")


def test_another_city_becomes_a_snapshot_too(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = portal_rows.chicago(400)
    rows[3] = {**rows[3], "iucr": "9999"}
    with portal("chicago", rows, monkeypatch):
        no = crimeguard("pull", "--source", "chicago")
        refused(no, 1, "does not keep the data contract", "offense_known: 1", "iucr:9999")
        found = told(crimeguard("pull", "--source", "chicago", "--on-bad", "drop", "--json"))
        assert (found["rows"], found["left_out"], found["fetched_now"]) == (399, 1, 0)
        assert "MOON BASE" in found["remarks"][0]
        assert set(Snapshot.load(Path(found["path"])).frame()["city"]) == {"chicago"}


def test_a_trial_keeps_no_pages(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with portal("chicago", portal_rows.chicago(400), monkeypatch):
        found = told(crimeguard("pull", "--source", "chicago", "--limit", 50, "--json"))
    assert found["rows"] == 50
    assert not (state / "pulls").exists()
    assert "first 50 rows" in Snapshot.load(Path(found["path"])).manifest["source"]


def test_every_row_is_fetched_again_if_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with portal("la-2020", portal_rows.los_angeles(300), monkeypatch):
        words = ("pull", "--source", "la-2020", "--json")
        assert told(crimeguard(*words))["fetched_now"] == 300
        assert told(crimeguard(*words))["fetched_now"] == 0
        assert told(crimeguard(*words, "--fresh"))["fetched_now"] == 300


def test_the_token_is_sent_and_a_wrong_one_is_a_clear_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with portal("la-2020", portal_rows.los_angeles(250), monkeypatch) as served:
        served.token = "a1b2c3d4e5"
        refused(crimeguard("pull", "--source", "la-2020"), 1, "403", "CRIMEGUARD_SODA_TOKEN")
        monkeypatch.setenv("CRIMEGUARD_SODA_TOKEN", served.token)
        assert crimeguard("pull", "--source", "la-2020", "--json").code == 0


def test_columns_that_have_changed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with portal("la-2020", portal_rows.los_angeles(10), monkeypatch) as served:
        served.data.columns.remove("premis_cd")
        refused(crimeguard("pull", "--source", "la-2020"), 1, "premis_cd is gone")


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--source", "la-2030"), "no source 'la-2030'"),
     (("--source", "la-2020", "--since", "yesterday"), "'yesterday' is not a day")],
)  # fmt: skip
def test_what_cannot_be_asked_is_a_usage_error(words: tuple[str, ...], said: str) -> None:
    refused(crimeguard("pull", *words), 2, said)


def test_only_https_or_this_machine_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRIMEGUARD_SODA_URL", "http://data.example.org")
    refused(crimeguard("pull", "--source", "la-2020"), 2, "no address of a portal")
