from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crimeguard.serve import body
from crimeguard.serve.problem import NOT_JSON, Problem
from tests.contract.fuzzing import DOCUMENTS, damaged, fuzz, incidents, refused

# The way that may not hurry.
STRICT: Callable[[bytes], Any] = body._strict
PARSERS = [body.parse_json, STRICT]
# Everything that readers of JSON are known to disagree on.
PIECES = st.sampled_from([
    b"{", b"}", b"[", b"]", b":", b",", b'"a"', b'"\\u0061"', b'"a":1', b"1", b"-0", b"0.1e1",
    b"1e400", b"-1e400", b"1E5", b"01", b".5", b"5.", b"NaN", b"Infinity", b"-Infinity", b"null",
    b"true", b"nul", b" ", b"\t", b"\n", b"\x0b", b"\xef\xbb\xbf", b"\xff", b'"\\ud800"',
    b'"\\ud83d\\ude00"', b'"\xf0\x9f\x98\x80"', b'"\\x"', b'"\x00"', b'"\\u0000"', b"'a'", b"//",
    b"9" * 30, b"9" * 400, b"9" * 5000, b"-9223372036854775809", b"18446744073709551616",
    b"1.0000000000000001", b"123456789012345678901234567890.5", b"[" * 20, b"]" * 20,
])  # fmt: skip
BODIES = (
    st.binary(max_size=60)
    | damaged(DOCUMENTS.map(lambda value: json.dumps(value).encode()))
    | damaged(incidents().map(lambda value: json.dumps(value, ensure_ascii=False).encode()))
    | st.lists(PIECES, max_size=8).map(b"".join)
)


@pytest.mark.parametrize("parse", PARSERS)
@fuzz(400)
@given(content=BODIES)
def test_what_is_read_means_to_others_the_same(
    parse: Callable[[bytes], Any], content: bytes
) -> None:
    problem = refused(lambda: parse(content))
    if problem is not None:
        assert problem.kind is NOT_JSON
        return
    value = parse(content)
    assert same(value, json.loads(content))
    # What was read can be written again, and is then the same.
    assert same(parse(json.dumps(value).encode()), value)


@fuzz(1_000)
@given(content=BODIES)
def test_the_fast_way_and_the_strict_one_agree(content: bytes) -> None:
    assert same(outcome(body.parse_json, content), outcome(STRICT, content))


@fuzz(300)
@given(DOCUMENTS)
def test_every_document_is_read(document: Any) -> None:
    with suppress(orjson.JSONEncodeError):  # whole numbers beyond 64 bits: next test
        assert same(body.parse_json(orjson.dumps(document)), document)


@fuzz(100)
@given(st.integers())
def test_whole_numbers_of_any_size_are_exact(number: int) -> None:
    assert same(body.parse_json(str(number).encode()), number)


def outcome(parse: Callable[[bytes], Any], content: bytes) -> Any:
    """Return the value, or what the refusal says."""
    try:
        return ("read", parse(content))
    except Problem as problem:
        return ("refused", problem.kind.slug, problem.detail)


def same(one: Any, other: Any) -> bool:
    """Compare with types and signs: 1, 1.0, True and -0.0 are four things."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and repr(one) == repr(other)
