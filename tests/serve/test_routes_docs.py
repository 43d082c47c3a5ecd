from __future__ import annotations

import pytest

from tests.serve.fakes import Client


def test_the_root_leads_to_the_docs(client: Client) -> None:
    answer = client.get("/")
    assert answer.status_code == 307
    assert answer.headers["location"] == "/docs"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/docs", "text/html"),
        ("/docs/docs.css", "text/css"),
        ("/docs/docs.js", "text/javascript"),
        ("/openapi.json", "application/json"),
    ],
)
def test_pages_come_with_their_type(client: Client, path: str, kind: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kind)
    assert answer.content
