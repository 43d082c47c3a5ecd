from __future__ import annotations

import datetime as dt
import json
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crimeguard.domain.incident import INCIDENT_FIELDS, Incident
from crimeguard.domain.level import InformationLevel
from crimeguard.serve.incident import LEVEL_FIELD, read_many, read_one
from crimeguard.serve.problem import BAD_INCIDENT, Problem
from crimeguard.serve.schema import incident_schema
from tests.contract.fuzzing import DOCUMENTS, RECORDS, fuzz, incidents, refused

SCHEMA = jsonschema.Draft202012Validator(incident_schema())


@fuzz(500)
@given(RECORDS | DOCUMENTS)
def test_a_record_is_read_or_refused_by_name(record: Any) -> None:
    problem = refused(lambda: read_one(record))
    if problem is None:
        return
    assert problem.kind is BAD_INCIDENT
    assert problem.flaws
    for flaw in problem.flaws:
        assert flaw.pointer == "" or flaw.pointer.startswith("/")
        assert flaw.detail


@fuzz(300)
@given(RECORDS | DOCUMENTS, st.sampled_from([None, *InformationLevel]))
def test_one_alone_and_one_of_many_are_read_alike(
    record: Any, level: InformationLevel | None
) -> None:
    alone = refused(lambda: read_one(record))
    among = refused(lambda: read_many([record], most=1, level=level))
    if alone is None or among is None:
        assert alone is among
        one, (other,) = read_one(record), read_many([record], most=1, level=level)
        if level is None or one.incident.level <= level:
            assert one == other
        return
    assert [f"/0{flaw.pointer}" for flaw in alone.flaws] == [flaw.pointer for flaw in among.flaws]
    assert [flaw.detail for flaw in alone.flaws] == [flaw.detail for flaw in among.flaws]


@fuzz(300)
@given(incidents())
def test_what_should_be_understood_is(record: dict[str, Any]) -> None:
    assert refused(lambda: read_one(record)) is None
    SCHEMA.validate(record)


@fuzz(250)
@given(RECORDS)
def test_what_is_accepted_fits_the_schema(record: dict[str, Any]) -> None:
    assume(refused(lambda: read_one(record)) is None)
    SCHEMA.validate(record)


@fuzz(300)
@given(incidents())
def test_an_incident_written_again_is_the_same(record: dict[str, Any]) -> None:
    read = read_one(record)
    again = read_one(json.loads(json.dumps(written(read.incident))))
    assert again.incident == read.incident


def written(incident: Incident) -> dict[str, Any]:
    """Return the canonical values as a caller would send them."""
    values = {name: getattr(incident, name) for name in INCIDENT_FIELDS}
    return {
        LEVEL_FIELD: incident.level.label,
        **{name: value.isoformat() if isinstance(value, dt.date) else value
           for name, value in values.items()},
    }  # fmt: skip


def test_the_words_of_a_library_would_be_noticed() -> None:
    def leaking() -> None:
        try:
            json.loads("{")
        except ValueError as error:
            raise Problem(BAD_INCIDENT, f"It says {error}.") from None

    with pytest.raises(AssertionError, match="Expecting"):
        refused(leaking)
