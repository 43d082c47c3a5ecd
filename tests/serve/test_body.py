from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crimeguard.serve.body import MOST_DEPTH, _strict, parse_json
from crimeguard.serve.problem import NOT_JSON, Problem

SCALARS = st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
DOCUMENTS = st.recursive(
    SCALARS | st.integers(-(2**53), 2**53),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)


@given(DOCUMENTS)
def test_every_document_comes_back_as_it_was(document: Any) -> None:
    assert parse_json(json.dumps(document).encode()) == document


@given(st.binary())
def test_any_bytes_are_a_value_or_a_problem(body: bytes) -> None:
    with suppress(Problem):
        assert parse_json(body) == json.loads(body)


@given(st.text(alphabet='{}[]",:0123456789.eE+-NaInfity\\u nulrs'))
def test_what_passes_holds_finite_numbers_only(text: str) -> None:
    try:
        value = parse_json(text.encode())
    except Problem:
        return
    assert all(math.isfinite(number) for number in _numbers(value))


FLAT = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "area", "caf\u00e9", 'quo"te', "back\\slash"]),
        SCALARS | st.integers() | st.sampled_from([-0.0, 0.0, 1e300, 2.0**53, 10**20, -(2**64)])
        | st.lists(st.text() | st.integers(), max_size=3),
    ),
    max_size=4,
)  # fmt: skip


@given(FLAT, st.booleans())
def test_the_quick_way_reads_what_the_strict_one_does(
    pairs: list[tuple[str, Any]], plain: bool
) -> None:
    def written(value: Any) -> str:
        return json.dumps(value, ensure_ascii=plain)

    body = "{" + ", ".join(f"{written(name)}: {written(value)}" for name, value in pairs) + "}"
    try:
        data = body.encode()
    except UnicodeEncodeError:
        return
    assert _outcome(parse_json, data) == _outcome(_strict, data)


@given(st.text(alphabet='{}[]",:0123456789.eE+-ab nul'))
def test_both_ways_refuse_the_same(text: str) -> None:
    assert _outcome(parse_json, text.encode()) == _outcome(_strict, text.encode())


def _outcome(parse: Callable[[bytes], Any], body: bytes) -> str:
    try:
        return repr(parse(body))
    except Problem as problem:
        return problem.detail


def _numbers(value: Any) -> list[float]:
    if isinstance(value, dict | list):
        children = value.values() if isinstance(value, dict) else value
        return [number for child in children for number in _numbers(child)]
    return [value] if isinstance(value, int | float) else []


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "It is empty."),
        (b" \n", "It is empty."),
        (b'{"a": 1', "line 1, column 8"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": Infinity}', "Infinity is not a JSON number"),
        (b'{"a": -Infinity}', "-Infinity is not a JSON number"),
        (b'{"a": 1e999}', "1e999 is too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too large"),
        (b'{"a": 1, "b": 2, "a": 3}', "names 'a' twice"),
        (b'{"a": {"b": 1, "\\u0062": 2}}', "names 'b' twice"),
        (b"[" * 50_000 + b"]" * 50_000, "nested too deep"),
        (b"[" * (MOST_DEPTH + 1) + b"]" * (MOST_DEPTH + 1), "nested more than"),
        (b'"\xff"', "UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not Unicode"),
        (b'"\\ud800"', "not Unicode"),
        (b"{'a': 1}", "line 1, column 2"),
        (b'{"a": 1} x', "line 1, column 10"),
    ],
)
def test_refusals_say_why(body: bytes, why: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_json(body)
    assert caught.value.kind is NOT_JSON
    assert why in caught.value.detail


def test_the_greatest_depth_is_read() -> None:
    assert parse_json(b"[" * MOST_DEPTH + b"]" * MOST_DEPTH)
