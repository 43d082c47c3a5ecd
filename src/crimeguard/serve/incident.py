"""From a JSON record to an incident, with a pointer to everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from crimeguard.domain.errors import DataError
from crimeguard.domain.field import CANONICAL_NAMES
from crimeguard.domain.incident import INCIDENT_FIELDS, Incident, as_text
from crimeguard.domain.level import InformationLevel
from crimeguard.serve.problem import BAD_INCIDENT, MOST_FLAWS, Flaw, Problem, flaw_of, pointer

LEVEL_FIELD: Final = "information_level"
LONGEST_TEXT: Final = 1_000
_LONGEST_LIST: Final = 200
_USED: Final = frozenset(INCIDENT_FIELDS)
_KNOWN: Final = (*CANONICAL_NAMES, LEVEL_FIELD)
# The portal's column that names a row; handed back beside the prediction.
_NUMBER_FIELDS: Final = ("DR_NO", "dr_no")


@dataclass(frozen=True, slots=True)
class Request:
    """One incident as it was asked about.

    `ignored` holds the fields, as the caller spelled them, that the model may not see or
    that repeat a code in words; `dr_no` is the portal's number of the row, if given.
    """

    incident: Incident
    ignored: tuple[str, ...]
    dr_no: str | None


def read_one(record: Any) -> Request:
    """Read a JSON object as one incident; Problem points at everything that is wrong."""
    request, flaws = _read(record)
    if request is None:
        raise _refusal(flaws)
    return request


def read_many(records: Any, *, most: int, level: InformationLevel | None) -> list[Request]:
    """Read a JSON list of objects; `level` hides what is above it in each of them."""
    if not isinstance(records, list) or not records:
        raise _refusal([Flaw("", "must be a list of at least one incident.")])
    if len(records) > most:
        text = f"The list holds {len(records):,} incidents, {most:,} are accepted; send a file."
        raise Problem(BAD_INCIDENT, text, flaws=[Flaw("", f"holds more than {most:,} incidents.")])
    requests: list[Request] = []
    flaws: list[Flaw] = []
    for place, record in enumerate(records):
        request, found = _read(record, place, level=level)
        flaws += found
        if request is not None:
            requests.append(request)
        if len(flaws) >= MOST_FLAWS:
            break
    if flaws:
        raise _refusal(flaws)
    return requests


def _refusal(flaws: Sequence[Flaw]) -> Problem:
    return Problem(
        BAD_INCIDENT, "The body does not describe incidents; `errors` says where.", flaws=flaws
    )


def _read(
    record: Any, *prefix: int, level: InformationLevel | None = None
) -> tuple[Request | None, list[Flaw]]:
    if not isinstance(record, dict):
        return None, [Flaw(pointer(*prefix), "must be an object with the fields of an incident.")]
    used = {key: value for key, value in record.items() if CANONICAL_NAMES.get(key) in _USED}
    flaws: list[Flaw] = []
    for key, value in record.items():
        if key not in used or not _is_plain(value):
            flaws += _shape(key, value, prefix)
    level = _level(record.get(LEVEL_FIELD), level, prefix, flaws)
    if flaws:
        return None, flaws
    try:
        incident = Incident.from_record(used, level=level)
    except DataError as error:
        return None, [flaw_of(bad, *prefix) for bad in error.bad]
    ignored = tuple(key for key in record if key not in used and key != LEVEL_FIELD)
    return Request(incident, ignored, _dr_no(record)), []


def _level(
    asked: Any, most: InformationLevel | None, prefix: tuple[int, ...], flaws: list[Flaw]
) -> InformationLevel | None:
    """Return the lower of the level asked for and `most`; a level that is none is a flaw."""
    if asked is None:
        return most
    try:
        own = InformationLevel.parse(asked if isinstance(asked, str) else "")
    except ValueError as error:
        flaws.append(Flaw(pointer(*prefix, LEVEL_FIELD), f"{error}."))
        return None
    return own if most is None else min(most, own)


def _shape(key: str, value: Any, prefix: tuple[int, ...]) -> list[Flaw]:
    """Check that a field is known and holds text, a number, or a list of MO codes."""
    if key == LEVEL_FIELD:
        return []
    name = CANONICAL_NAMES.get(key)
    if name is not None and name not in _USED:
        return []
    place = pointer(*prefix, key[:80])
    if name is None:
        near = get_close_matches(key[:80], _KNOWN, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        return [Flaw(place, f"is not a field of an incident{hint}")]
    if _is_plain(value):
        return []
    if name == "mocodes" and isinstance(value, list):
        if len(value) <= _LONGEST_LIST and all(map(_is_plain, value)):
            return []
        return [Flaw(place, f"must hold at most {_LONGEST_LIST} codes.")]
    return [Flaw(place, f"must be text, a number or null; text of at most {LONGEST_TEXT} letters.")]


def _is_plain(value: Any) -> bool:
    if type(value) is str:
        return len(value) <= LONGEST_TEXT
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _dr_no(record: Mapping[str, Any]) -> str | None:
    given = next((record[name] for name in _NUMBER_FIELDS if name in record), None)
    return as_text(given)[:40] if given is not None and _is_plain(given) else None
