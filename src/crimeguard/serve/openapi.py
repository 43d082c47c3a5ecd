"""What the OpenAPI document says of request bodies, errors and examples."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.field import BY_NAME, CANONICAL_NAMES
from crimeguard.domain.incident import INCIDENT_FIELDS
from crimeguard.domain.level import InformationLevel
from crimeguard.serve.answers import InferRequest, ProblemAnswer
from crimeguard.serve.incident import LEVEL_FIELD
from crimeguard.serve.keys import Scope
from crimeguard.serve.problem import BROKEN, MEDIA_TYPE, NO_KEY, WRONG_SCOPE, Kind
from crimeguard.serve.upload import SUFFIX_OF_TYPE

HEADINGS_EXAMPLE: Final = {
    "DATE OCC": "03/10/2023 12:00:00 AM", "TIME OCC": "2130", "AREA": "12", "Rpt Dist No": "1249",
    "Premis Cd": "101", "Vict Age": "34", "Vict Sex": "F", "Vict Descent": "H",
    "Date Rptd": "03/11/2023 12:00:00 AM", "Weapon Used Cd": "400", "Mocodes": "0344 0416 1822",
    "LAT": "33.97", "LON": "-118.29",
}  # fmt: skip
NAMES_EXAMPLE: Final = {
    "date_occ": "2023-03-10", "time_occ": 2130, "area": 12, "premis_cd": 101,
    "vict_age": 34, "vict_sex": "F", "vict_descent": "H", "date_rptd": "2023-03-11",
    "weapon_used_cd": 400, "mocodes": ["0344", "0416", "1822"],
}  # fmt: skip
CALL_EXAMPLE: Final = {**NAMES_EXAMPLE, LEVEL_FIELD: InformationLevel.CALL.label}

_LEVELS: Final = [level.label for level in InformationLevel]
_CSV_EXAMPLE: Final = ",".join(HEADINGS_EXAMPLE) + "\n" + ",".join(HEADINGS_EXAMPLE.values()) + "\n"
_TYPES: Final[dict[str, dict[str, Any]]] = {
    "text": {"type": ["string", "integer", "number", "null"]},
    "date": {"type": ["string", "null"]},
    "int": {"type": ["integer", "number", "string", "null"]},
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

LEVEL_PARAMETER: Final = {
    "name": "level", "in": "query", "required": False,
    "description": "Hide what is known above this level.",
    "schema": {"type": "string", "enum": _LEVELS},
}  # fmt: skip
ACCEPT_PARAMETER: Final = {
    "name": "Accept", "in": "header", "required": False,
    "description": "text/csv asks for a table instead of JSON.",
    "schema": {"type": "string"}, "example": "application/json",
}  # fmt: skip
SINGLE_BODY: Final = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/Incident"},
            "examples": {
                "headings": {"summary": "Headings of the export", "value": HEADINGS_EXAMPLE},
                "names": {"summary": "API names", "value": NAMES_EXAMPLE},
                "call": {"summary": "Only what a call tells", "value": CALL_EXAMPLE},
            },
        }
    },
}
BATCH_BODY: Final = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "array",
                "minItems": 1,
                "items": {"$ref": "#/components/schemas/Incident"},
            },
            "examples": {
                "both": {
                    "summary": "Two incidents, either spelling",
                    "value": [HEADINGS_EXAMPLE, NAMES_EXAMPLE],
                }
            },
        },
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {
                        "type": "string",
                        "format": "binary",
                        "description": "CSV, CSV.gz or Parquet in the portal's form.",
                    }
                },
            }
        },
        **{
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in SUFFIX_OF_TYPE
            if kind != "text/csv"
        },
        "text/csv": {"schema": {"type": "string"}, "example": _CSV_EXAMPLE},
    },
}
_LABEL_EXAMPLE: Final = {"prediction_id": "0" * 32, "category": "robbery"}
_CODE_EXAMPLE: Final = {"prediction_id": "0" * 32, "crm_cd": 210}
LABELS_BODY: Final = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "oneOf": [
                    {"$ref": "#/components/schemas/Label"},
                    {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": 10_000,
                        "items": {"$ref": "#/components/schemas/Label"},
                    },
                ]
            },
            "examples": {
                "category": {"summary": "A category", "value": _LABEL_EXAMPLE},
                "code": {"summary": "A crime code", "value": _CODE_EXAMPLE},
                "many": {"summary": "Several", "value": [_LABEL_EXAMPLE, _CODE_EXAMPLE]},
            },
        }
    },
}

_TENSOR_EXAMPLE: Final = {"name": "incident", "datatype": "BYTES", "shape": [1],
                          "data": [json.dumps(NAMES_EXAMPLE)]}  # fmt: skip
_FIELDS_EXAMPLE: Final = [
    {"name": name, "datatype": "BYTES" if isinstance(value, str) else "INT32", "shape": [1],
     "data": [value]}
    for name, value in NAMES_EXAMPLE.items() if not isinstance(value, list)
]  # fmt: skip
INFER_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/InferRequest"},
            "examples": {
                "incident": {
                    "summary": "One tensor of JSON objects",
                    "value": {"inputs": [_TENSOR_EXAMPLE]},
                },
                "fields": {
                    "summary": "A tensor a field, and two outputs",
                    "value": {
                        "id": "1",
                        "inputs": _FIELDS_EXAMPLE,
                        "outputs": [{"name": "prediction"}, {"name": "confidence"}],
                    },
                },
            },
        }
    },
}


def problems(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """Describe the refusals of a route, and the failure that any route may have."""
    by_status: dict[int | str, list[Kind]] = {}
    for kind in (*kinds, BROKEN):
        by_status.setdefault(kind.status, []).append(kind)
    return {
        status: {
            "description": " ".join(f"{kind.title}: {kind.meaning}" for kind in mine),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemAnswer"}}},
        }
        for status, mine in by_status.items()
    }


_SCHEMES: Final = {
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "Bearer": {"type": "http", "scheme": "bearer"},
}


def describe(app: FastAPI, *, needs: Mapping[str, Scope | None]) -> dict[str, Any]:
    """Return the app's OpenAPI document, made once.

    `needs` tells the scope that a key must have for each path, None for an open one; it is
    empty where no keys are in use.
    """
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas["Incident"] = incident_schema()
        schemas["Label"] = label_schema()
        infer = InferRequest.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= infer.pop("$defs")
        schemas["InferRequest"] = infer
        problem = ProblemAnswer.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= problem.pop("$defs")
        schemas["ProblemAnswer"] = problem
        for path, scope in needs.items():
            if scope is not None and path in document["paths"]:
                _protect(document, path, scope)
        app.openapi_schema = document
    return app.openapi_schema


def _protect(document: dict[str, Any], path: str, scope: Scope) -> None:
    document["components"]["securitySchemes"] = _SCHEMES
    for operation in document["paths"][path].values():
        operation["security"] = [{name: [scope.value]} for name in _SCHEMES]
        for status, response in problems(NO_KEY, WRONG_SCOPE).items():
            operation["responses"].setdefault(str(status), response)


def incident_schema() -> dict[str, Any]:
    """Return the JSON schema of one incident, in both spellings."""
    properties = {spelling: _property(name) for spelling, name in CANONICAL_NAMES.items()}
    properties[LEVEL_FIELD] = {
        "type": ["string", "null"],
        "enum": [*_LEVELS, None],
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
        "examples": [HEADINGS_EXAMPLE, NAMES_EXAMPLE],
    }


def label_schema() -> dict[str, Any]:
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
        "examples": [_LABEL_EXAMPLE, _CODE_EXAMPLE],
    }


def _property(name: str) -> dict[str, Any]:
    if name not in INCIDENT_FIELDS:
        return {"description": "Accepted and ignored: the model may not or need not see it."}
    schema = {**_TYPES[BY_NAME[name].kind], "description": _MEANINGS[name]}
    if name == "mocodes":
        schema["items"] = {"type": ["string", "integer"]}
        schema["maxItems"] = 200
    return schema


def _one_of(*names: str) -> dict[str, Any]:
    spellings = [spelling for spelling, name in CANONICAL_NAMES.items() if name in names]
    return {"anyOf": [{"required": [spelling]} for spelling in spellings]}
