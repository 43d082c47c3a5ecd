"""What the OpenAPI document says of request bodies, errors and examples."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from crimeguard.domain.level import InformationLevel
from crimeguard.serve.answers import InferRequest, ProblemAnswer
from crimeguard.serve.encode import FORMS
from crimeguard.serve.incident import LEVEL_FIELD
from crimeguard.serve.keys import Scope
from crimeguard.serve.problem import BROKEN, MEDIA_TYPE, NO_KEY, WRONG_SCOPE, Kind
from crimeguard.serve.schema import LEVELS, incident_schema, label_schema
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

_CSV_EXAMPLE: Final = ",".join(HEADINGS_EXAMPLE) + "\n" + ",".join(HEADINGS_EXAMPLE.values()) + "\n"
LEVEL_PARAMETER: Final = {
    "name": "level", "in": "query", "required": False,
    "description": "Hide what is known above this level.",
    "schema": {"type": "string", "enum": LEVELS},
}  # fmt: skip
ACCEPT_PARAMETER: Final = {
    "name": "Accept", "in": "header", "required": False,
    "description": "The form of the answer: JSON, or a table.",
    "schema": {"type": "string", "enum": list(FORMS)}, "example": "application/json",
}  # fmt: skip
TABLES: Final = {
    kind: {"schema": {"type": "string", **({} if kind == "text/csv" else {"format": "binary"})}}
    for kind in FORMS if kind != "application/json"
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
                        "description": "CSV, CSV.gz, Parquet or Arrow in the portal's form.",
                    }
                },
            },
            "encoding": {"file": {"contentType": ", ".join(SUFFIX_OF_TYPE)}},
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
_LABEL_LINK: Final = {
    "operationRef": "#/paths/~1labels/post",
    "requestBody": {"prediction_id": "$response.body#/prediction_id", "category": "robbery"},
    "description": "The true category of the incident, when it is known.",
}
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
        schemas["Incident"] = incident_schema(HEADINGS_EXAMPLE, NAMES_EXAMPLE)
        schemas["Label"] = label_schema(_LABEL_EXAMPLE, _CODE_EXAMPLE)
        infer = InferRequest.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= infer.pop("$defs")
        schemas["InferRequest"] = infer
        problem = ProblemAnswer.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= problem.pop("$defs")
        schemas["ProblemAnswer"] = problem
        predicted = document["paths"]["/predict"]["post"]["responses"]["200"]
        predicted["links"] = {"label": _LABEL_LINK}
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
