from __future__ import annotations

import pytest
from starlette.requests import Request

from crimeguard.serve.negotiate import chosen_form
from crimeguard.serve.problem import NOT_ACCEPTABLE, Problem

OFFERED = ("application/json", "text/csv", "application/x-table")


def asking(*lines: str) -> Request:
    headers = [(b"accept", line.encode()) for line in lines]
    return Request({"type": "http", "headers": headers})


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((), "application/json"),
        (("",), "application/json"),
        (("*/*",), "application/json"),
        (("text/html, */*;q=0.1",), "application/json"),
        (("text/csv",), "text/csv"),
        (("Text/CSV ; q=0.4",), "text/csv"),
        (("text/*",), "text/csv"),
        (("application/*",), "application/json"),
        (("text/csv;q=0.5, application/x-table",), "application/x-table"),
        (("text/csv;q=0.5", "application/x-table;q=0.6"), "application/x-table"),
        (("application/json;q=0, */*",), "text/csv"),
        (("text/csv;header=present;q=0.9, application/json;q=0.8",), "text/csv"),
        (("text/csv;q=much",), "text/csv"),
    ],
)
def test_the_form_that_is_liked_best(lines: tuple[str, ...], expected: str) -> None:
    assert chosen_form(asking(*lines), OFFERED) == expected


@pytest.mark.parametrize("line", ["text/html", "image/*", "*/*;q=0", "text/csv;q=0", "nonsense"])
def test_nothing_of_what_is_offered(line: str) -> None:
    with pytest.raises(Problem) as caught:
        chosen_form(asking(line), OFFERED)
    assert caught.value.kind is NOT_ACCEPTABLE
    assert all(kind in caught.value.detail for kind in OFFERED)
