from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crimeguard.serve import tensors
from crimeguard.serve.listed import read_list
from crimeguard.serve.problem import BAD_INCIDENT, BAD_TENSOR, NOT_JSON
from tests.contract.fuzzing import DOCUMENTS, RECORDS, damaged, fuzz, incidents, refused

NAMES = st.sampled_from(
    ["incident", "area", "date_occ", "DATE OCC", "lat", "information_level", ""]
)
KINDS = st.sampled_from(["BYTES", "INT32", "INT64", "FP64", "BOOL", "bytes"])
SHAPES = st.lists(st.integers(-1, 3), max_size=3) | DOCUMENTS
DATA = st.lists(RECORDS.map(json.dumps) | DOCUMENTS, max_size=3) | DOCUMENTS
TENSORS = st.fixed_dictionaries(
    {"name": NAMES | DOCUMENTS, "datatype": KINDS | DOCUMENTS, "shape": SHAPES, "data": DATA},
    optional={"parameters": DOCUMENTS, "extra": DOCUMENTS},
)
REQUESTS = st.fixed_dictionaries(
    {"inputs": st.lists(TENSORS | DOCUMENTS, max_size=3) | DOCUMENTS},
    optional={
        "id": st.text(max_size=9) | DOCUMENTS,
        "outputs": st.lists(st.fixed_dictionaries({"name": NAMES | DOCUMENTS}) | DOCUMENTS,
                            max_size=3) | DOCUMENTS,
        "parameters": DOCUMENTS,
    },
)  # fmt: skip


@fuzz(200)
@given(damaged(REQUESTS.map(lambda value: json.dumps(value).encode())) | st.binary(max_size=40))
def test_tensors_are_read_or_refused_by_place(body: bytes) -> None:
    problem = refused(lambda: tensors.read(body))
    if problem is None:
        return
    assert problem.kind in (BAD_TENSOR, BAD_INCIDENT, NOT_JSON)
    assert problem.kind is NOT_JSON or problem.flaws
    for flaw in problem.flaws:
        require_place(json.loads(body), flaw.pointer)


@fuzz(150)
@given(st.lists(incidents(), min_size=1, max_size=3), st.booleans())
def test_incidents_in_a_tensor_are_what_they_are_in_a_list(
    records: list[dict[str, Any]], column: bool
) -> None:
    shape = [len(records), 1] if column else [len(records)]
    asked = tensors.read(json.dumps({"inputs": [{
        "name": "incident", "datatype": "BYTES", "shape": shape,
        "data": [json.dumps(record) for record in records],
    }]}).encode())  # fmt: skip
    listed = read_list(records)
    for field in fields(listed.columns):
        mine, theirs = getattr(asked.batch.columns, field.name), getattr(listed.columns, field.name)
        np.testing.assert_array_equal(mine, theirs)
    assert list(asked.batch.dr_no) == list(listed.dr_no)
    assert asked.batch.ignored == listed.ignored


def require_place(document: Any, pointer: str) -> None:
    """AssertionError unless a pointer leads to a place, or to a member that is missing there."""
    *before, last = pointer.split("/")[1:] or [""]
    for part in before:
        name = part.replace("~1", "/").replace("~0", "~")
        document = document[int(name)] if isinstance(document, list) else document[name]
    if isinstance(document, list) and last:
        assert int(last) < len(document)
