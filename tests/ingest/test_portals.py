from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest

from crimeguard.domain.city import CITIES
from crimeguard.domain.errors import UsageError
from crimeguard.ingest.portal import Portal
from crimeguard.ingest.portals import PORTALS, portal_named

PAGE = (Path(__file__).parents[2] / "docs" / "sources.md").read_text(encoding="utf-8")


def test_an_unknown_source_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="la-2020, la-2010, la-nibrs, chicago"):
        portal_named("la-2030")


@pytest.mark.parametrize("portal", PORTALS.values(), ids=list(PORTALS))
def test_a_source_asks_for_its_columns_and_says_what_it_lacks(portal: Portal) -> None:
    query = portal.query(dict.fromkeys(portal.columns, "text"))
    assert query.columns == (":id", ":updated_at", *portal.columns)
    assert query.where == ""
    some = portal.query(dict.fromkeys(portal.columns, "text"), dt.date(2024, 3, 7))
    assert some.where == f"{portal.occurred} >= '2024-03-07T00:00:00'"
    assert portal.occurred in portal.columns
    assert portal.city in CITIES
    assert portal.lacks or portal.name == "la-2010"


@pytest.mark.parametrize("portal", PORTALS.values(), ids=list(PORTALS))
def test_the_documentation_lists_every_source(portal: Portal) -> None:
    row = re.search(rf"^\| `{portal.name}` \| (.*) \|$", PAGE, re.MULTILINE)
    assert row is not None
    assert portal.dataset in row[1]
    assert portal.host in row[1]


def test_what_a_source_lacks_is_on_the_page() -> None:
    for portal in PORTALS.values():
        for lack in portal.lacks:
            assert lack in " ".join(PAGE.split()), lack
