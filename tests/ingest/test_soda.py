from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from email.utils import format_datetime

import pytest

from crimeguard.domain.errors import PortalError, UsageError
from crimeguard.ingest.soda import Query, Soda, portal_address, quoted
from tests.ingest.soda_server import Dataset, Portal, serving

QUERY = Query("abcd-1234", (":id", ":updated_at", "name"))


@pytest.fixture
def portal() -> Iterator[Portal]:
    rows = [{"name": f"n{number}"} for number in range(25)]
    with serving(Portal("abcd-1234", Dataset.of(rows, ["name"]))) as served:
        yield served


def asked(portal: Portal, pauses: list[float], token: str = "") -> Soda:
    return Soda(portal.address, token, sleep=pauses.append)


def pages(soda: Soda, rows: int) -> list[list[str]]:
    found: list[list[str]] = []
    after = ""
    while page := soda.page(QUERY, after, rows):
        found.append([row["name"] for row in page])
        after = page[-1][":id"]
    return found


def test_pages_by_key_hold_every_row_once(portal: Portal) -> None:
    pauses: list[float] = []
    with asked(portal, pauses) as soda:
        found = pages(soda, 10)
        assert [len(page) for page in found] == [10, 10, 5]
        assert sorted(name for page in found for name in page) == sorted(
            f"n{number}" for number in range(25)
        )
        assert soda.count(QUERY) == 25
        assert soda.columns("abcd-1234") == {"name": "text"}
        assert soda.newest(QUERY) == max(row[":updated_at"] for row in portal.data.content())
    assert not pauses
    assert all("$offset" not in request for request in portal.requests)


def test_ids_are_not_in_the_order_of_their_texts(portal: Portal) -> None:
    """What the portals do: a client that compared the ids itself would stop or lose rows."""
    assert portal.data.ids() != sorted(portal.data.ids())


def test_conditions_are_joined_and_quoted(portal: Portal) -> None:
    with asked(portal, []) as soda:
        some = Query("abcd-1234", QUERY.columns, "name >= 'n2'")
        assert soda.count(some) == 13
        assert soda.count(some.narrowed("name > 'n3'")) == 6
    assert quoted("O'Hare") == "'O''Hare'"


def test_a_portal_that_throttles_is_waited_for_as_long_as_it_asks(portal: Portal) -> None:
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=90)
    portal.faults = {1: "429:7", 2: f"429:{format_datetime(moment, usegmt=True)}", 3: "429"}
    pauses: list[float] = []
    with asked(portal, pauses) as soda:
        assert soda.count(QUERY) == 25
    assert pauses[0] == 7
    assert 80 < pauses[1] <= 90
    assert 0.5 <= pauses[2] <= 60
    assert len(portal.requests) == 4


@pytest.mark.parametrize("fault", ["503", "500", "cut", "garbled"])
def test_a_failure_that_passes_is_tried_again_with_growing_pauses(
    portal: Portal, fault: str
) -> None:
    portal.faults = dict.fromkeys(range(1, 5), fault)
    pauses: list[float] = []
    with asked(portal, pauses) as soda:
        assert [row["name"] for row in soda.page(QUERY, "", 3)] == ["n0", "n1", "n2"]
    assert len(pauses) == 4
    assert pauses[3] > pauses[0]


@pytest.mark.parametrize(("fault", "reason"), [("503", "503"), ("cut", "RemoteProtocolError")])
def test_a_failure_that_stays_is_an_error_that_says_to_go_on_later(
    portal: Portal, fault: str, reason: str
) -> None:
    portal.faults = dict.fromkeys(range(1, 100), fault)
    with asked(portal, []) as soda, pytest.raises(PortalError, match="does not answer") as found:
        soda.count(QUERY)
    assert reason in found.value.why
    assert "goes on where it was" in found.value.fix
    assert len(portal.requests) == 8


def test_a_portal_that_asks_for_too_long_a_pause_is_left_alone(portal: Portal) -> None:
    portal.faults = {1: "429:3600"}
    pauses: list[float] = []
    with asked(portal, pauses) as soda, pytest.raises(PortalError, match="pause of 3,600 s"):
        soda.count(QUERY)
    assert not pauses


def test_nobody_listening_is_an_error() -> None:
    deaf = Soda("http://127.0.0.1:9", sleep=lambda _: None)
    with deaf as soda, pytest.raises(PortalError, match="does not answer"):
        soda.count(QUERY)


def test_a_token_is_sent_and_never_shown(portal: Portal) -> None:
    portal.token = "tok3n-of-ours"
    with asked(portal, [], portal.token) as soda:
        assert soda.count(QUERY) == 25
        assert portal.token not in repr(soda)
    with asked(portal, [], "another") as soda, pytest.raises(PortalError) as found:
        soda.count(QUERY)
    assert found.value.status == 403
    assert "CRIMEGUARD_SODA_TOKEN" in found.value.fix
    assert "another" not in str(found.value)


def test_a_refusal_is_not_tried_again_and_keeps_the_portals_words(portal: Portal) -> None:
    with asked(portal, []) as soda, pytest.raises(PortalError, match="No such column: gone"):
        soda.page(Query("abcd-1234", (":id", "gone")), "", 5)
    assert len(portal.requests) == 1


def test_a_page_that_does_not_go_on_is_refused(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A portal that did not honour the key would be asked for ever."""
    monkeypatch.setattr(Portal, "_conditions", lambda *_: [])
    with asked(portal, []) as soda, pytest.raises(PortalError, match="does not speak"):
        pages(soda, 10)


@pytest.mark.parametrize(
    "address",
    ["http://data.lacity.org", "ftp://127.0.0.1", "https://user:secret@host", "data.lacity.org",
     "https://", "http://127.0.0.1.example.org"],
)  # fmt: skip
def test_a_portal_is_asked_over_https_or_on_this_machine(address: str) -> None:
    with pytest.raises(UsageError, match="no address of a portal"):
        portal_address(address)


@pytest.mark.parametrize(
    "address", ["https://data.lacity.org", "http://127.0.0.1:1", "http://localhost", "http://[::1]"]
)
def test_an_address_that_may_be_used_is_kept(address: str) -> None:
    assert portal_address(f"{address}/") == address
