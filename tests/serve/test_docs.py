from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from crimeguard.serve.docs import render
from crimeguard.serve.problem import KINDS
from tests.serve.fakes import Client


class Page(HTMLParser):
    """Collects what the page refers to, and whether its tags close in order."""

    VOID = frozenset({"meta", "link", "input", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src"):
                self.links.append(value or "")
            if name.startswith("on") or name == "style":
                self.handlers.append(name)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def page(client: Client) -> Page:
    return Page(client.get("/docs").text)


def test_it_is_well_formed(page: Page) -> None:
    assert page.open == []
    assert len(set(page.ids)) == len(page.ids)


def test_it_loads_nothing_from_elsewhere(page: Page, client: Client) -> None:
    for link in page.links:
        assert link.startswith(("/", "#", "data:,"))
    for asset in ("/docs/docs.css", "/docs/docs.js"):
        assert not re.search(r"https?://|@import|url\(", client.get(asset).text)


def test_its_own_security_policy_lets_it_work(page: Page) -> None:
    assert page.handlers == []  # inline handlers and styles would be refused by the browser


def test_its_links_lead_somewhere(page: Page, client: Client) -> None:
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids
        elif link.startswith("/"):
            assert client.get(link).status_code == 200


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.slug)
def test_every_problem_type_leads_to_its_description(page: Page, kind: object) -> None:
    assert f"problem-{getattr(kind, 'slug', None)}" in page.ids


def test_it_shows_every_operation(client: Client) -> None:
    text = client.get("/docs").text
    for path, item in client.get("/openapi.json").json()["paths"].items():
        for method in item:
            assert f'data-method="{method.upper()}" data-path="{path}"' in text


def test_text_cannot_become_markup(client: Client) -> None:
    document = client.get("/openapi.json").json()
    document["info"]["description"] = "<script>alert(1)</script>"
    document["paths"]["/livez"]["get"]["summary"] = '"><img src=x>'
    text = render(document)
    assert "<script>alert" not in text
    assert "<img" not in text
