"""The JSON schemas of an incident and of a label, as close as a schema can be to what is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.field import BY_NAME, CANONICAL_NAMES
from crimeguard.domain.incident import INCIDENT_FIELDS
from crimeguard.domain.level import InformationLevel
from crimeguard.serve.incident import LEVEL_FIELD

LEVELS: Final = [level.label for level in InformationLevel]
_TYPES: Final[dict[str, dict[str, Any]]] = {
    "text": {"type": ["string", "integer", "number", "null"]},
    "date": {"type": ["string", "null"]},
    "int": {"type": ["integer", "string", "null"]},
    "float": {"type": ["number", "string", "null"]},
    "codes": {"type": ["string", "integer", "array", "null"]},
}
_MEANINGS: Final = {
    "date_occ": "Day it happened: MM/DD/YYYY or YYYY-MM-DD; a time behind it is ignored.",
    "date_rptd": "Day it was reported, in the same forms.",
    "time_occ": "Time it happened, HHMM from 0000 to 2359.",
    "area": "Police area, 1 to 21.",
    "rpt_dist_no": "Reporting district.",
    "premis_cd": "Code of the kind of place.",
    "location": "Street address, rounded to the block.",
    "cross_street": "Cross street, for places without an address.",
    "lat": "Degrees north, 33.3 to 34.9; 0 is unknown.",
    "lon": "Degrees east, -119.3 to -117.6; 0 is unknown.",
    "vict_age": "Years, at most 120; 0 and less is unknown.",
    "vict_sex": "F, M, or X for unknown.",
    "vict_descent": "One letter of the portal's table; X is unknown.",
    "weapon_used_cd": "Code of the weapon.",
    "mocodes": "Codes of the modus operandi: text with blanks between, or a list.",
}

# What a text may be, as domain/repair.py reads it; a day of 30 February fits and is refused.
_BLANK: Final = "-|[Nn][Aa][Nn]|[Nn][Oo][Nn][Ee]|[Nn][Uu][Ll][Ll]|[Nn]/?[Aa]"
_MONTH: Final = "(?:0?[1-9]|1[0-2])"
_DAY: Final = "(?:0?[1-9]|[12][0-9]|3[01])"
_YEAR: Final = "[2-9][0-9]{3}"
_CLOCK: Final = (
    r"[T ][0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?: ?[AaPp][Mm])?"
    r"(?:[Zz]| ?[Uu][Tt][Cc]|[+-][0-9]{2}:?[0-9]{2})?"
)
_DATE: Final = f"(?:{_MONTH}/{_DAY}/{_YEAR}|{_YEAR}-{_MONTH}-{_DAY})(?:{_CLOCK})?"
_CODES: Final = ("area", "rpt_dist_no", "premis_cd", "weapon_used_cd")
_PATTERNS: Final = {
    "date_occ": rf"^\s*{_DATE}\s*$",
    "date_rptd": rf"^\s*(?:{_DATE}|{_BLANK})?\s*$",
    "vict_sex": rf"^\s*(?:[FMXHNfmxhn]|{_BLANK})?\s*$",
    "vict_descent": rf"^\s*(?:[ABCDFGHIJKLOPSUVWXZabcdfghijklopsuvwxz]|{_BLANK})?\s*$",
    **dict.fromkeys(_CODES, rf"^\s*(?:[0-9]{{1,6}}(?:\.0*)?|{_BLANK})?\s*$"),
}
_BOUNDS: Final = {
    "time_occ": {"minimum": 0, "maximum": 2400},
    "vict_age": {"maximum": 120},
    **{name: {"minimum": 0, "maximum": 999_999} for name in _CODES},
}


def incident_schema(*examples: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of one incident, in both spellings."""
    properties = {spelling: _property(name) for spelling, name in CANONICAL_NAMES.items()}
    properties[LEVEL_FIELD] = {
        "type": ["string", "null"],
        "enum": [*LEVELS, None],
        "description": "Hide what is known above this level.",
    }
    return {
        "type": "object",
        "title": "Incident",
        "description": "One incident, keyed by the headings of the portal's export or by the "
        "names of its API. When and where must be given; where is an area, a reporting district, "
        "or a latitude with a longitude. A field of a level that is named but blank counts as "
        "known to be blank; one that is not named counts as not known.",
        "properties": properties,
        "additionalProperties": False,
        "allOf": [_one_of("date_occ"), _one_of("area", "rpt_dist_no", "lat")],
        "examples": list(examples),
    }


def label_schema(*examples: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of one label."""
    return {
        "type": "object",
        "title": "Label",
        "description": "What a prediction should have been: a category, a crime code, or both if "
        "they agree.",
        "properties": {
            "prediction_id": {
                "type": "string",
                "pattern": "^[0-9a-f]{32}$",
                "description": "The `prediction_id` of an answer.",
            },
            "category": {
                "type": ["string", "null"],
                "enum": [*CATEGORIES, None],
                "description": "The true category.",
            },
            "crm_cd": {
                "type": ["integer", "null"],
                "description": "The crime code (`Crm Cd`), which leads to the category.",
            },
        },
        "required": ["prediction_id"],
        "anyOf": [{"required": ["category"]}, {"required": ["crm_cd"]}],
        "additionalProperties": False,
        "examples": list(examples),
    }


def _property(name: str) -> dict[str, Any]:
    if name not in INCIDENT_FIELDS:
        return {"description": "Accepted and ignored: the model may not or need not see it."}
    schema = {**_TYPES[BY_NAME[name].kind], "description": _MEANINGS[name]}
    if name == "date_occ":
        schema["type"] = "string"
    if name in ("vict_sex", "vict_descent"):
        schema["type"] = ["string", "null"]
    if name in _PATTERNS:
        schema["pattern"] = _PATTERNS[name]
    schema |= _BOUNDS.get(name, {})
    if name == "mocodes":
        schema["items"] = {"type": ["string", "integer"]}
        schema["maxItems"] = 200
    return schema


def _one_of(*names: str) -> dict[str, Any]:
    spellings = [spelling for spelling, name in CANONICAL_NAMES.items() if name in names]
    return {
        "anyOf": [
            {"required": [spelling], "properties": {spelling: {"not": {"enum": [None, ""]}}}}
            for spelling in spellings
        ]
    }
